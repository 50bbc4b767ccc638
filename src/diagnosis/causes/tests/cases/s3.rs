//! Causes in S3's responses.

use super::super::samples::*;
use super::Case;
use crate::aws::Ending;
use crate::identity::Provider;
use crate::upload::Doubt;

pub(super) fn cases() -> Vec<Case> {
    vec![
        (
            "kms",
            s3("AccessDenied", "not authorized to perform: kms:GenerateDataKey"),
            "KMS",
            "kms:GenerateDataKey",
        ),
        (
            "session_policy",
            s3(
                "AccessDenied",
                "AccessDenied: User: arn is not authorized to perform: s3:PutObject on resource: \
                 \"x\" because no session policy allows the s3:PutObject action",
            ),
            "no session policy allows",
            "session policy of the association",
        ),
        (
            "request_altered",
            s3("AccessDenied", "There were headers present in the request which were not signed"),
            "which were not signed",
            "adds headers",
        ),
        (
            "s3_access_denied",
            s3("AccessDenied", "Access Denied"),
            "s3:PutObject on bucket pictures",
            "arn:aws:s3:::pictures/*",
        ),
        ("no_such_bucket", s3("NoSuchBucket", ""), "no bucket pictures", "S3_BUCKET_NAME"),
        (
            "wrong_region",
            s3("PermanentRedirect", ""),
            "not in us-east-1, but in eu-west-1",
            "AWS_REGION to eu-west-1",
        ),
        ("clock_skew", s3("RequestTimeTooSkewed", ""), "clock", "chrony"),
        (
            "static_keys_rejected",
            s3_static(Provider::Environment, "InvalidAccessKeyId", "InvalidAccessKeyId: unknown"),
            "InvalidAccessKeyId: unknown",
            "replace the keys in AWS_ACCESS_KEY_ID",
        ),
        (
            "credentials_rejected",
            s3("ExpiredToken", ""),
            "does not accept",
            "requests new credentials",
        ),
        (
            "s3_not_implemented",
            s3("NotImplemented", "NotImplemented: a header you provided"),
            "a part of S3 that PutObject needs",
            "a newer version",
        ),
        ("s3_service_error", s3("SlowDown", "SlowDown: reduce"), "at the moment", "tries again"),
        ("s3_damaged", s3("BadDigest", "BadDigest: no"), "not what was sent", "stored nothing"),
        (
            "s3_unproven",
            doubted(Doubt::Unproven, "the response has no checksum"),
            "answered PutObject with success, but the response has no checksum",
            "allow s3:GetObject on arn:aws:s3:::pictures/*",
        ),
        (
            "s3_request_impossible",
            reached(Ending::NotSent("Invalid ARN".to_owned())),
            "make no request to S3: Invalid ARN",
            "correct S3_BUCKET_NAME",
        ),
        (
            "not_s3",
            reached(Ending::Response { status: 200, text: "the response has no ETag".to_owned() }),
            "PutObject was answered by something else than S3 at http://127.0.0.1:1",
            "no proxy or portal",
        ),
        (
            "endpoint_unreachable",
            reached(Ending::Refused),
            "http://127.0.0.1:1 does not answer",
            "AWS_ENDPOINT_URL",
        ),
    ]
}
