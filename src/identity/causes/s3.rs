//! Causes in S3's answers.

use super::super::evidence::{Evidence, Failure};
use super::super::reach::Reach;
use super::super::s3_failure::S3Failure;
use super::ResolvedBy::{FreshCredentials, Never, Wait};
use super::policy::Reason;
use super::{Cause, Explanation, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("kms", Wait, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let code = s3.code.as_deref().unwrap_or_default();
        let is_of_key = code.starts_with("KMS.");
        let is_throttled = code.starts_with("KMS.Throttling");
        ((is_of_key && !is_throttled) || s3.text.contains("kms:")).then_some(())?;
        let cause = format!("the bucket's KMS key refuses {}: {}", e.identity(), s3.text);
        if is_of_key {
            return Some(explanation(
                cause,
                "check that the key of the bucket's encryption exists and is enabled (aws kms describe-key)",
            ));
        }
        // Any kind of policy may deny the key's use as it may deny the bucket's.
        let reason = Reason::of(&s3.text).filter(|reason| !reason.is_of("no identity-based"));
        let place = reason.as_ref().and_then(|reason| reason.place("the key's policy"));
        let fix = match reason.as_ref().zip(place) {
            Some((reason, place)) => reason.fix("kms:GenerateDataKey and kms:Decrypt", place),
            None => {
                "allow kms:GenerateDataKey and kms:Decrypt in the key's policy and in the role's"
                    .to_owned()
            }
        };
        Some(explanation(cause, fix))
    }),
    Cause::new("session_policy", Wait, |e| {
        let s3 = denied(e)?;
        let reason = Reason::of(&s3.text).filter(|reason| reason.is_of("session policy"))?;
        let action = format!("s3:PutObject on {}", s3.objects());
        let fix = reason.fix(&action, "the session policy of the association");
        Some(explanation(
            format!("s3:PutObject on bucket {} is denied {}", s3.bucket, reason.text),
            format!("{fix}: it and the role's policy must both allow it"),
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
    Cause::new("s3_not_implemented", Never, |e| {
        let s3 = e.s3(&["NotImplemented"])?;
        Some(explanation(
            format!("the server lacks a part of S3 that {} needs: {}", s3.operation, s3.text),
            "use a newer version of it: the program sends a checksum after the picture (a trailer \
             with x-amz-checksum-crc32), which the AWS SDKs do by default too",
        ))
    }),
    Cause::new("s3_service_error", Wait, |e| {
        // A gateway or a load balancer in front of S3 answers with a status, and no code of S3.
        let Failure::S3(s3) = &e.failure else { return None };
        let codes = [
            "SlowDown",
            "ServiceUnavailable",
            "InternalError",
            "RequestTimeout",
            // A new bucket is not known everywhere yet.
            "TemporaryRedirect",
        ];
        let code = s3.code.as_deref().unwrap_or_default();
        let is_code = codes.contains(&code) || code.starts_with("KMS.Throttling");
        let status = s3.status.filter(|status| code == status.to_string());
        let is_status = matches!(status, Some(408 | 429 | 500..));
        (is_code || is_status || matches!(s3.status, Some(500 | 502..=504))).then_some(())?;
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
pub(super) fn reached(e: &Evidence, reach: Reach) -> Option<&S3Failure> {
    match &e.failure {
        Failure::S3(s3) => Some(&**s3).filter(|s3| s3.reach == reach),
        _ => None,
    }
}

/// A request that S3 denied. All requests that store an object need the action `s3:PutObject`.
fn denied(e: &Evidence) -> Option<&S3Failure> {
    e.s3(&["AccessDenied"])
}

fn s3_access_denied(e: &Evidence) -> Option<Explanation> {
    let s3 = denied(e)?;
    let (bucket, objects) = (&s3.bucket, s3.objects());
    let cause = format!("s3:PutObject on bucket {bucket} is denied to {}", e.identity());
    let Some(reason) = Reason::of(&s3.text) else {
        return Some(explanation(
            cause,
            format!(
                "allow s3:PutObject on {objects} in the role's policy, and check the bucket's policy; \
                 if the policy asks for session tags (aws:PrincipalTag), check that the association's \
                 disableSessionTags is off"
            ),
        ));
    };
    let place = reason.place("the bucket's policy").unwrap_or("the policy that it names");
    let fix = reason.fix(&format!("s3:PutObject on {objects}"), place);
    let tags = "; if it asks for session tags (aws:PrincipalTag), check that the association's \
                disableSessionTags is off";
    let tags = if reason.is_of("no identity-based") { tags } else { "" };
    Some(explanation(format!("{cause}; S3 says: {}", reason.text), format!("{fix}{tags}")))
}
