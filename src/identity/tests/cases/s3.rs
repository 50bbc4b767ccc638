//! Causes in S3's answers.

use super::super::super::reach::Reach;
use super::super::samples::*;
use super::Case;

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
            "s3_request_impossible",
            reached(Reach::Unsent, "Invalid ARN"),
            "make no request to S3: Invalid ARN",
            "correct S3_BUCKET_NAME",
        ),
        (
            "not_s3",
            reached(Reach::Other, "the response has no ETag"),
            "PutObject was answered by something else than S3 at http://127.0.0.1:1",
            "no proxy or portal",
        ),
        (
            "endpoint_unreachable",
            reached(Reach::NoAnswer, "connection refused"),
            "http://127.0.0.1:1 does not answer",
            "AWS_ENDPOINT_URL",
        ),
    ]
}
