//! What holds for all responses of the agent and of S3. Each panics where it does not hold.

use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use super::super::evidence::{Evidence, Failure};
use super::diagnose;
use crate::aws::{Ending, Exchange, clean, does_something};
use crate::identity::{
    ChainFailure, Content, FULL_URI, Injected, Provider, Requirement, TOKEN_FILE, Token, Tokens,
    with_claims,
};
use crate::upload::{Destination, Place, Store, UploadError};

const REQUIRED: Requirement = Requirement::Provider(Provider::PodIdentity);

/// Whatever the agent responds, the diagnosis is printable, in one line each. The first two bytes of the
/// input are the status, the rest is the text.
pub fn agent_response(input: &[u8]) {
    let Some((status, text)) = input.split_first_chunk() else { return };
    let ending = Ending::Response {
        status: u16::from_be_bytes(*status),
        text: clean(&String::from_utf8_lossy(text)),
    };
    let error = CredentialsError::provider_error("the provider failed");
    diagnosed(Failure::Chain {
        failure: ChainFailure {
            provider: Some(Provider::PodIdentity),
            error: Arc::new(error),
            exchange: Some(Exchange { host: "169.254.170.23:80".to_owned(), ending }),
            not_configured: Vec::new(),
        },
        required: REQUIRED,
    });
}

/// Whatever code and text S3 refuses a request with, the diagnosis is printable, in one line each. The
/// first two bytes are the status; then come code and text with a line break between them.
pub fn s3_refusal(input: &[u8]) {
    let Some((status, rest)) = input.split_first_chunk() else { return };
    let rest = String::from_utf8_lossy(rest);
    let (code, text) = rest.split_once('\n').unwrap_or((&rest, ""));
    let Ok(status) = u16::from_be_bytes(*status).clamp(300, 599).try_into() else { return };
    let response = HttpResponse::new(status, SdkBody::empty());
    let error = PutObjectError::generic(ErrorMetadata::builder().code(code).message(text).build());
    let place = Place {
        bucket: "b".to_owned(),
        prefix: String::new(),
        pod: "p".to_owned(),
        store: Store::default(),
    };
    let to = Destination { place, region: "us-east-1".to_owned(), endpoint: None };
    let error = SdkError::service_error(error, response);
    if let UploadError::S3(failure) = UploadError::of("PutObject", &to, None, &error) {
        diagnosed(Failure::S3(failure));
    }
}

/// In a pod whose token is valid, so that the response itself is what is diagnosed.
fn diagnosed(failure: Failure) {
    let good = with_claims(r#"{"aud":["pods.eks.amazonaws.com"],"exp":1099511627776}"#);
    let token = Token { path: "/token".to_owned(), content: Content::of(&good) };
    let diagnosis = diagnose(&Evidence {
        failure,
        injected: Injected::default()
            .set(FULL_URI, "http://169.254.170.23/v1/credentials")
            .set(TOKEN_FILE, "/token"),
        tokens: Tokens { pod_identity: Some(token), irsa: None },
        principal: None,
        agent_may_be_starting: false,
    });
    for line in [&diagnosis.cause, &diagnosis.fix] {
        assert!(!line.is_empty() && !line.contains(does_something), "{diagnosis:?}");
    }
}
