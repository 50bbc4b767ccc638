//! What is known of a request to S3 that failed.

use super::principal::Principal;
use super::reach::Reach;
use crate::partition::Partition;

/// What is known of a failed request to S3.
#[derive(Clone, Debug, Default)]
pub(crate) struct S3Failure {
    pub(crate) operation: &'static str,
    pub(crate) reach: Reach,
    pub(crate) bucket: String,
    /// The endpoint, if one is set.
    pub(crate) endpoint: Option<String>,
    /// The region that was asked.
    pub(crate) region: String,
    /// S3's error code or the HTTP status, if S3 answered.
    pub(crate) code: Option<String>,
    /// The HTTP status, if S3 answered.
    pub(crate) status: Option<u16>,
    /// Whose credentials were in use, if any were.
    pub(crate) signer: Option<Principal>,
    /// The region in which the bucket is, if S3 says so.
    pub(crate) bucket_region: Option<String>,
    /// Everything in one line.
    pub(crate) text: String,
}

impl S3Failure {
    /// Whether S3 says that the credentials in use are not valid. New ones may be.
    pub(crate) fn rejects_credentials(&self) -> bool {
        matches!(
            self.code.as_deref(),
            Some(
                "ExpiredToken"
                    | "InvalidToken"
                    | "InvalidAccessKeyId"
                    | "SignatureDoesNotMatch"
                    | "TokenRefreshRequired"
            )
        )
    }

    /// The ARN of all objects of the bucket or access point, for a policy.
    pub(super) fn objects(&self) -> String {
        match &self.bucket {
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-policies.html
            arn if arn.starts_with("arn:") => format!("{arn}/object/*"),
            name => format!("arn:{}:s3:::{name}/*", Partition::of_region(&self.region).id),
        }
    }
}
