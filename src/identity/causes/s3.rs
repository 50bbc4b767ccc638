//! Causes in S3's answers.

use super::super::evidence::{Evidence, Failure};
use super::super::reach::Reach;
use super::super::s3_failure::S3Failure;
use super::ResolvedBy::{FreshCredentials, Never, Wait};
use super::{Cause, Explanation, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("kms", Wait, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let code = s3.code.as_deref().unwrap_or_default();
        (code.starts_with("KMS.") || s3.text.contains("kms:")).then_some(())?;
        Some(explanation(
            format!("the bucket's KMS key refuses {}: {}", e.identity(), s3.text),
            "allow kms:GenerateDataKey and kms:Decrypt in the key's policy and in the role's",
        ))
    }),
    Cause::new("session_policy", Wait, |e| {
        let s3 = denied(e)?;
        let reason = reason(s3).filter(|reason| reason.contains("session policy"))?;
        Some(explanation(
            format!("s3:PutObject on bucket {} is denied {reason}", s3.bucket),
            format!(
                "allow s3:PutObject on {} in the session policy of the association too: it and \
                 the role's policy must both allow it",
                s3.objects()
            ),
        ))
    }),
    Cause::new("s3_access_denied", Wait, s3_access_denied),
    Cause::new("no_such_bucket", Wait, |e| {
        let s3 = e.s3(&["NoSuchBucket"])?;
        Some(explanation(
            format!("there is no bucket {}", s3.bucket),
            "create the bucket, or correct S3_BUCKET_NAME; a new bucket takes a moment to become \
             available",
        ))
    }),
    Cause::new("wrong_region", Never, |e| {
        let s3 = e.s3(&[
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ])?;
        let region = s3.bucket_region.as_deref();
        Some(explanation(
            format!(
                "bucket {} is not in {}, but in {}",
                s3.bucket,
                s3.region,
                region.unwrap_or("another region")
            ),
            format!("set AWS_REGION to {}", region.unwrap_or("the bucket's region")),
        ))
    }),
    Cause::new("clock_skew", Never, |e| {
        e.s3(&["RequestTimeTooSkewed", "RequestExpired"])?;
        Some(explanation(
            "this machine's clock differs too much from S3's",
            "synchronize the node's clock, with chrony or the Amazon Time Sync Service",
        ))
    }),
    Cause::new("credentials_rejected", FreshCredentials, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        s3.rejects_credentials().then_some(())?;
        let code = s3.code.as_deref().unwrap_or_default();
        Some(explanation(
            format!("S3 does not accept {}: {code}", e.identity()),
            if s3.endpoint.is_some() {
                "no action is needed: the program requests new credentials; if it continues, check \
                 whether these credentials are meant for this endpoint"
            } else {
                "no action is needed: the program requests new credentials; if it continues, check \
                 the node's clock and the role"
            },
        ))
    }),
    Cause::new("s3_service_error", Wait, |e| {
        // A gateway or a load balancer in front of S3 answers with a status, and no code of S3.
        let Failure::S3(s3) = &e.failure else { return None };
        let codes = ["SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout"];
        let is_code = s3.code.as_deref().is_some_and(|code| codes.contains(&code));
        (is_code || matches!(s3.status, Some(500 | 502..=504))).then_some(())?;
        Some(explanation(
            format!("S3 cannot serve the request at the moment: {}", s3.text),
            "no action is needed: the program tries again with the next picture; if SlowDown \
             continues, spread the load over more key prefixes",
        ))
    }),
    Cause::new("s3_damaged", Wait, |e| {
        let s3 =
            e.s3(&["BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"])?;
        Some(explanation(
            format!("what arrived at S3 is not what was sent: {}", s3.text),
            "no action is needed: S3 stored nothing, and the next picture is sent anew; if it \
             continues, find what changes requests on the way, such as a proxy",
        ))
    }),
    Cause::new("s3_not_implemented", Never, |e| {
        let s3 = e.s3(&["NotImplemented"])?;
        Some(explanation(
            format!("the server lacks a part of S3 that {} needs: {}", s3.operation, s3.text),
            "use a newer version of it: the program sends a checksum after the picture (a trailer \
             with x-amz-checksum-crc32), which the AWS SDKs do by default too",
        ))
    }),
    Cause::new("s3_request_impossible", Never, |e| {
        let s3 = reached(e, Reach::Unsent)?;
        Some(explanation(
            format!("the settings make no request to S3: {}", s3.text),
            "correct S3_BUCKET_NAME, AWS_REGION or AWS_ENDPOINT_URL",
        ))
    }),
    Cause::new("not_s3", Wait, |e| {
        let s3 = reached(e, Reach::Other)?;
        let at = s3.endpoint.as_deref().unwrap_or(&s3.region);
        Some(explanation(
            format!("{} was answered by something else than S3 at {at}: {}", s3.operation, s3.text),
            "check that AWS_ENDPOINT_URL, if it is set, is an S3 endpoint, and that no proxy or \
             portal answers in its place",
        ))
    }),
    Cause::new("endpoint_unreachable", Wait, |e| {
        let s3 = reached(e, Reach::NoAnswer)?;
        match &s3.endpoint {
            Some(endpoint) => Some(explanation(
                format!("the endpoint {endpoint} does not answer: {}", s3.text),
                "check that it is running, and that AWS_ENDPOINT_URL is reachable from this pod",
            )),
            None => Some(explanation(
                format!("S3 in {} cannot be reached: {}", s3.region, s3.text),
                "allow egress to S3 (port 443) or add a VPC endpoint, and check that the region \
                 exists",
            )),
        }
    }),
];

/// S3's failure, if the request came as far as this.
fn reached(e: &Evidence, reach: Reach) -> Option<&S3Failure> {
    match &e.failure {
        Failure::S3(s3) => Some(&**s3).filter(|s3| s3.reach == reach),
        _ => None,
    }
}

/// A request that S3 denied. All requests that store an object need the action `s3:PutObject`.
fn denied(e: &Evidence) -> Option<&S3Failure> {
    e.s3(&["AccessDenied", "Forbidden", "403"])
}

/// S3's own reason in its text: which kind of policy denied the request, or did not allow it.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>.
fn reason(s3: &S3Failure) -> Option<&str> {
    ["because no ", "with an explicit deny"]
        .iter()
        .find_map(|start| s3.text.find(start).map(|at| &s3.text[at..]))
}

fn s3_access_denied(e: &Evidence) -> Option<Explanation> {
    let s3 = denied(e)?;
    let (bucket, objects) = (&s3.bucket, s3.objects());
    let reason = reason(s3);
    let kinds = [
        ("resource-based policy", "change the bucket's policy, which denies it explicitly"),
        ("permissions boundary", "allow it in the role's permissions boundary"),
        (
            "service control policy",
            "ask the organization's administrators: its service control policy denies it",
        ),
        (
            "resource control policy",
            "ask the organization's administrators: its resource control policy denies it",
        ),
        ("VPC endpoint policy", "allow it in the policy of the VPC endpoint for S3"),
    ];
    let kind = kinds.iter().find(|(kind, _)| reason.is_some_and(|text| text.contains(kind)));
    let cause = format!("s3:PutObject on bucket {bucket} is denied to {}", e.identity());
    Some(explanation(
        reason.map_or_else(|| cause.clone(), |reason| format!("{cause}; S3 says: {reason}")),
        match kind {
            Some((_, fix)) => format!("s3:PutObject on {objects}: {fix}"),
            None => format!(
                "allow s3:PutObject on {objects} in the role's policy, and check the bucket's policy; if the policy asks for session tags (aws:PrincipalTag), check \
                 that the association's disableSessionTags is off"
            ),
        },
    ))
}
