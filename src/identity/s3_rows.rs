//! The rows of the table that S3's answers decide.

use super::evidence::{Evidence, Said, say};

pub(super) fn kms(e: &Evidence) -> Said {
    let (s3, code) = e.s3()?;
    (code.starts_with("KMS.") || s3.text.contains("kms:")).then_some(())?;
    Some(say(
        format!("the bucket's KMS key refuses {}: {}", e.identity(), s3.text),
        "allow kms:GenerateDataKey and kms:Decrypt on the key, in its key policy and in the role's",
    ))
}

pub(super) fn s3_access_denied(e: &Evidence) -> Said {
    let (s3, _) = e.s3().filter(|(_, code)| ["AccessDenied", "Forbidden"].contains(code))?;
    let action = match s3.operation {
        "AbortMultipartUpload" => "s3:AbortMultipartUpload",
        _ => "s3:PutObject",
    };
    Some(say(
        format!("{action} on bucket {} is denied to {}", s3.bucket, e.identity()),
        format!(
            "allow {action} on arn:aws:s3:::{}/* in the role's policy; look at the bucket's policy too",
            s3.bucket
        ),
    ))
}

pub(super) fn no_such_bucket(e: &Evidence) -> Said {
    let (s3, _) = e.s3().filter(|(_, code)| *code == "NoSuchBucket")?;
    Some(say(
        format!("there is no bucket {}", s3.bucket),
        "create it, or correct S3_BUCKET_NAME; a bucket made just now takes a moment",
    ))
}

pub(super) fn wrong_region(e: &Evidence) -> Said {
    let codes =
        ["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];
    let (s3, _) = e.s3().filter(|(_, code)| codes.contains(code))?;
    let right = s3.bucket_region.as_deref();
    Some(say(
        format!(
            "bucket {} is not in {}, but in {}",
            s3.bucket,
            s3.region,
            right.unwrap_or("another region")
        ),
        format!("set AWS_REGION to {}", right.unwrap_or("the bucket's region")),
    ))
}

pub(super) fn clock_skew(e: &Evidence) -> Said {
    e.s3().filter(|(_, code)| ["RequestTimeTooSkewed", "RequestExpired"].contains(code))?;
    Some(say(
        "this machine's clock differs too much from S3's",
        "set the node's clock: chrony or the Amazon Time Sync Service",
    ))
}

pub(super) fn credentials_rejected(e: &Evidence) -> Said {
    let codes = [
        "ExpiredToken",
        "InvalidToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    ];
    let (s3, code) = e.s3().filter(|(_, code)| codes.contains(code))?;
    Some(say(
        format!("S3 does not accept {}: {code}", e.identity()),
        if s3.endpoint.is_some() {
            "are these credentials meant for this endpoint? New ones are asked for"
        } else {
            "new ones are asked for; if it stays, look at the node's clock and the role"
        },
    ))
}

pub(super) fn s3_service_error(e: &Evidence) -> Said {
    let codes = ["SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "503", "500"];
    let (s3, _) = e.s3().filter(|(_, code)| codes.contains(code))?;
    Some(say(
        format!("S3 has a bad moment: {}", s3.text),
        "nothing: it is tried again. If SlowDown stays, spread the load over more key prefixes",
    ))
}

pub(super) fn endpoint_unreachable(e: &Evidence) -> Said {
    let (s3, code) = e.s3()?;
    code.is_empty().then_some(())?;
    match &s3.endpoint {
        Some(endpoint) => Some(say(
            format!("the endpoint {endpoint} does not answer: {}", s3.text),
            "is it running, and is AWS_ENDPOINT_URL right as seen from here?",
        )),
        None => Some(say(
            format!("S3 in {} cannot be reached: {}", s3.region, s3.text),
            "allow egress to S3 (port 443), or add a VPC endpoint; does the region exist?",
        )),
    }
}
