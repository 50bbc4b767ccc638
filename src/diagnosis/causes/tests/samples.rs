//! Evidence for the tests of the causes: a pod in which all is right, and what can be wrong with it.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::SdkError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;

use crate::aws::{Ending, Exchange};
use crate::diagnosis::evidence::{Evidence, Failure};
use crate::identity::{
    ChainFailure, Content, FULL_URI, Injected, Principal, Provider, ROLE_ARN, Requirement,
    TOKEN_FILE, Token, Tokens, WEB_IDENTITY_TOKEN_FILE, with_claims,
};
use crate::source::FetchError;
use crate::upload::{Doubt, S3Failure};

pub(super) const POD_IDENTITY: Requirement = Requirement::Provider(Provider::PodIdentity);
pub(super) const IRSA: Requirement = Requirement::Provider(Provider::Irsa);
pub(super) const TOKEN_PATH: &str =
    "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token";

pub(super) fn principal(provider: Provider) -> Principal {
    Principal {
        provider,
        account: Some("123456789012".to_owned()),
        arn: None,
        role: None,
        session: None,
        access_key_ending: "WXYZ".to_owned(),
        expiry: None,
    }
}

pub(super) fn token(content: Content) -> Token {
    Token { path: TOKEN_PATH.to_owned(), content }
}

pub(super) fn claims_on(node: &str, audience: &str, expiry: u64) -> Content {
    Content::of(&with_claims(&format!(
        r#"{{"iss":"https://oidc.example/id/1","aud":["{audience}"],"exp":{expiry},
            "sub":"system:serviceaccount:shop:till","kubernetes.io":{{"namespace":"shop",
            "serviceaccount":{{"name":"till"}},"pod":{{"name":"till-1"}},"node":{{"name":"{node}"}}}}}}"#
    )))
}

pub(super) fn claims(audience: &str, expiry: u64) -> Content {
    claims_on("node-1", audience, expiry)
}

pub(super) const NEVER: u64 = 1 << 40;

/// A provider that failed with this text, after its request had this end.
pub(super) fn failed(provider: Provider, text: &str, ending: Option<Ending>) -> ChainFailure {
    ChainFailure {
        provider: Some(provider),
        error: Arc::new(CredentialsError::provider_error(text.to_owned())),
        exchange: ending.map(|ending| Exchange { host: "host:80".to_owned(), ending }),
        not_configured: Vec::new(),
    }
}

fn chain(failure: ChainFailure, required: Requirement) -> Evidence {
    let good = token(claims("pods.eks.amazonaws.com", NEVER));
    Evidence {
        failure: Failure::Chain { failure, required },
        injected: Injected::default()
            .set(FULL_URI, "http://169.254.170.23/v1/credentials")
            .set(TOKEN_FILE, TOKEN_PATH),
        tokens: Tokens { pod_identity: Some(good), irsa: None },
        principal: None,
        agent_may_be_starting: false,
    }
}

/// A pod with Pod Identity in which this provider failed.
pub(super) fn pod_after(provider: Provider, text: &str, ending: Option<Ending>) -> Evidence {
    chain(failed(provider, text, ending), POD_IDENTITY)
}

/// A pod in which all is right but the container provider, without a known reason.
pub(super) fn pod() -> Evidence {
    pod_after(Provider::PodIdentity, "the container provider failed", None)
}

/// Nothing was injected, and no provider is configured.
pub(super) fn bare(required: Requirement) -> Evidence {
    let failure = ChainFailure { provider: None, ..failed(Provider::Instance, "nothing", None) };
    Evidence {
        injected: Injected::default(),
        tokens: Tokens::default(),
        ..chain(failure, required)
    }
}

/// Nothing was injected, and this provider failed.
pub(super) fn bare_after(
    required: Requirement,
    provider: Provider,
    text: &str,
    ending: Option<Ending>,
) -> Evidence {
    Evidence {
        injected: Injected::default(),
        tokens: Tokens::default(),
        ..chain(failed(provider, text, ending), required)
    }
}

pub(super) fn refused(required: Requirement, provider: Provider) -> Evidence {
    Evidence { failure: Failure::Refused(required, Box::new(principal(provider))), ..pod() }
}

pub(super) fn with_token(content: Content) -> Evidence {
    let mut pod = pod();
    pod.tokens.pod_identity = Some(token(content));
    pod
}

/// The request to the agent had this end.
pub(super) fn agent(ending: Ending) -> Evidence {
    pod_after(Provider::PodIdentity, "the provider failed", Some(ending))
}

pub(super) fn refusal(status: u16, text: &str) -> Evidence {
    agent(Ending::Response { status, text: text.to_owned() })
}

fn with_irsa(failure: ChainFailure) -> Evidence {
    let mut pod = chain(failure, IRSA);
    pod.injected = pod
        .injected
        .set(WEB_IDENTITY_TOKEN_FILE, "/token")
        .set(ROLE_ARN, "arn:aws:iam::123456789012:role/till");
    pod.tokens.irsa = Some(token(claims("sts.amazonaws.com", NEVER)));
    pod
}

/// A pod with IRSA, to which STS answered with this code and status.
pub(super) fn irsa_status(status: u16, code: &str, message: &str) -> Evidence {
    let metadata = ErrorMetadata::builder().code(code).message(message).build();
    let response = HttpResponse::new(status.try_into().expect("a status"), SdkBody::empty());
    let error =
        SdkError::service_error(AssumeRoleWithWebIdentityError::generic(metadata), response);
    let ending = Ending::Response { status, text: String::new() };
    with_irsa(ChainFailure {
        error: Arc::new(CredentialsError::provider_error(error)),
        ..failed(Provider::Irsa, "", Some(ending))
    })
}

pub(super) fn irsa(code: &str, message: &str) -> Evidence {
    irsa_status(400, code, message)
}

/// A pod with IRSA whose request to STS had this end.
pub(super) fn irsa_reached(text: &str, ending: Option<Ending>) -> Evidence {
    with_irsa(failed(Provider::Irsa, text, ending))
}

/// A pod with IRSA and this token, which STS did not accept.
pub(super) fn with_irsa_token(content: Content) -> Evidence {
    let mut pod = irsa("InvalidIdentityToken", "Incorrect token audience");
    pod.tokens.irsa = Some(token(content));
    pod
}

/// An image host gave no picture because of this.
pub(super) fn fetch(error: FetchError) -> Evidence {
    Evidence { failure: Failure::Fetch { host: "images.example:8443".to_owned(), error }, ..pod() }
}

/// A request to S3 that had this end.
pub(super) fn reached(ending: Ending) -> Evidence {
    let exchange = Exchange { host: "http://127.0.0.1:1".to_owned(), ending };
    Evidence {
        failure: Failure::S3(Box::new(S3Failure {
            operation: "PutObject",
            action: "s3:PutObject",
            text: exchange.to_string(),
            exchange,
            bucket: "pictures".to_owned(),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            region: "us-east-1".to_owned(),
            code: None,
            signer: None,
            bucket_region: None,
            doubt: None,
        })),
        principal: Some(Principal {
            expiry: Some(std::time::SystemTime::now() + Duration::from_hours(1)),
            ..principal(Provider::PodIdentity)
        }),
        ..pod()
    }
}

/// A refusal of S3 with this status and code, if there is one, and text.
pub(super) fn s3_status(status: u16, code: Option<&str>, text: &str) -> Evidence {
    let mut evidence = reached(Ending::Response { status, text: text.to_owned() });
    if let Failure::S3(failure) = &mut evidence.failure {
        failure.code = code.map(str::to_owned);
        failure.bucket_region = Some("eu-west-1".to_owned());
        text.clone_into(&mut failure.text);
    }
    evidence
}

/// A success that does not count.
pub(super) fn doubted(doubt: Doubt, text: &str) -> Evidence {
    let mut evidence = reached(Ending::Response { status: 200, text: text.to_owned() });
    if let Failure::S3(failure) = &mut evidence.failure {
        failure.action = "s3:GetObject";
        failure.doubt = Some(doubt);
        text.clone_into(&mut failure.text);
    }
    evidence
}

pub(super) fn s3(code: &str, text: &str) -> Evidence {
    s3_status(400, Some(code), text)
}

/// The same, for a principal of this provider with static keys.
pub(super) fn s3_static(provider: Provider, code: &str, text: &str) -> Evidence {
    Evidence { principal: Some(principal(provider)), ..s3(code, text) }
}
