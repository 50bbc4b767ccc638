//! Why there is no object.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::destination::Destination;
use crate::errors::{explain, find_cause};
use crate::identity::{NoCredentials, Principal, Reach, S3Failure};
use crate::source::FetchError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There were no credentials to sign the request with.
    #[error(transparent)]
    Credentials(#[from] NoCredentials),
    /// S3 refused the request or could not be reached.
    #[error("{} failed: {}", .0.operation, .0.text)]
    S3(Box<S3Failure>),
    #[error("the program is ending")]
    Cancelled,
}

impl UploadError {
    /// The kind of failure, as the log names it.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::Credentials(_) => "credentials",
            Self::S3(_) => "s3",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whose credentials were in use, if S3 says that they are not valid.
    pub(super) fn rejected_signer(&self) -> Option<&Principal> {
        match self {
            Self::S3(failure) if failure.rejects_credentials() => failure.signer.as_ref(),
            _ => None,
        }
    }

    /// What is known of a request to S3 that failed, for which these credentials were in use.
    pub(crate) fn of<E>(
        operation: &'static str,
        to: &Destination,
        signer: Option<Principal>,
        error: &SdkError<E>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(none) = find_cause::<NoCredentials>(error) {
            return Self::Credentials(none.clone());
        }
        let response = error.raw_response();
        let status = response.map(|response| response.status().as_u16());
        let region_header =
            response.and_then(|response| response.headers().get("x-amz-bucket-region"));
        let expected_region = || error.message()?.split("expecting '").nth(1)?.split('\'').next();
        let is_name = |region: &&str| region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let bucket_region = region_header.or_else(expected_region).filter(is_name);
        Self::S3(Box::new(S3Failure {
            reach: Reach::of(error),
            code: error.code().map(str::to_owned).or(status.map(|status| status.to_string())),
            status,
            signer,
            bucket_region: bucket_region.map(str::to_owned),
            ..failure(operation, to, explain(error))
        }))
    }

    /// A successful response that lacks what S3 always sends, for example of a proxy or a portal.
    pub(super) fn not_of_s3(operation: &'static str, to: &Destination, missing: &str) -> Self {
        let text = format!("the response has no {missing}");
        let failure = failure(operation, to, text);
        Self::S3(Box::new(S3Failure { reach: Reach::Other, ..failure }))
    }
}

fn failure(operation: &'static str, to: &Destination, text: String) -> S3Failure {
    let bucket = to.place.bucket.clone();
    let (endpoint, region) = (to.endpoint.clone(), to.region.clone());
    S3Failure { operation, bucket, endpoint, region, text, ..S3Failure::default() }
}
