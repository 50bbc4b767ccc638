//! Causes in S3's answers.

use super::super::evidence::{Evidence, Failure};
use super::ResolvedBy::{FreshCredentials, Never, Propagation, Wait};
use super::policy::Reason;
use super::{Cause, Explanation, explanation};
use crate::aws::{Ending, Partition};
use crate::identity::Provider;
use crate::upload::{Doubt, S3Failure};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("kms", Propagation, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let code = s3.code.as_deref().unwrap_or_default();
        let is_of_key = code.starts_with("KMS.") && s3.status()? < 500;
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
    Cause::new("session_policy", Propagation, |e| {
        let s3 = denied(e)?;
        let reason = Reason::of(&s3.text).filter(|reason| reason.is_of("session policy"))?;
        // Only a session of Pod Identity has an association.
        let is_pod_identity =
            e.principal.as_ref().is_none_or(|found| found.provider == Provider::PodIdentity);
        let place = if is_pod_identity {
            "the session policy of the association"
        } else {
            "the session policy with which the role is assumed"
        };
        let fix = reason.fix(&format!("{} on {}", s3.action, objects(s3)), place);
        Some(explanation(
            format!("{} on bucket {} is denied {}", s3.action, s3.bucket, reason.text),
            format!("{fix}: it and the role's policy must both allow it"),
        ))
    }),
    Cause::new("request_altered", Wait, |e| {
        let s3 = denied(e)?;
        ["not signed", "headers present in the request"]
            .iter()
            .find(|word| s3.text.contains(**word))?;
        Some(explanation(
            format!("what arrived at S3 is not what was signed: {}", s3.text),
            "find what adds headers to requests on the way, such as a proxy or a sidecar, and exclude S3 from it",
        ))
    }),
    Cause::new("s3_access_denied", Propagation, s3_access_denied),
    Cause::new("no_such_bucket", Propagation, |e| {
        let s3 = e.s3(&["NoSuchBucket"])?;
        Some(explanation(
            format!("there is no bucket {}: {}", s3.bucket, s3.text),
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
        // The second of these codes has other reasons too.
        let is_region = s3.bucket_region.is_some()
            || s3.code.as_deref() != Some("AuthorizationHeaderMalformed")
            || s3.text.contains("region");
        is_region.then_some(())?;
        let region = s3.bucket_region.as_deref();
        Some(explanation(
            format!(
                "bucket {} is not in {}, but in {}: {}",
                s3.bucket,
                s3.region,
                region.unwrap_or("another region"),
                s3.text
            ),
            format!("set AWS_REGION to {}", region.unwrap_or("the bucket's region")),
        ))
    }),
    Cause::new("clock_skew", Never, |e| {
        e.s3(&["RequestTimeTooSkewed", "RequestExpired"])?;
        Some(explanation(
            format!("this machine's clock differs too much from S3's{}", said(e)),
            "synchronize the node's clock, with chrony or the Amazon Time Sync Service",
        ))
    }),
    Cause::new("static_keys_rejected", Never, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let found = e.principal.as_ref().filter(|_| s3.rejects_credentials())?;
        let is_static = found.expiry.is_none()
            && [Provider::Environment, Provider::Profile].contains(&found.provider);
        is_static.then_some(())?;
        let place = match found.provider {
            Provider::Profile => "in the AWS configuration files",
            _ => "in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
        };
        Some(explanation(
            format!("S3 does not accept {}: {}", e.identity(), s3.text),
            format!("replace the keys {place}: they are static, so waiting gives no others"),
        ))
    }),
    Cause::new("credentials_rejected", FreshCredentials, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        s3.rejects_credentials().then_some(())?;
        Some(explanation(
            format!("S3 does not accept {}: {}", e.identity(), s3.text),
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
            "use a newer version of it, or set S3_CHECKSUM to header or none: the program sends a checksum \
             after the picture (a trailer with x-amz-checksum-crc32), as the AWS SDKs do by default",
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
            "TooManyRequests",
            // A new bucket is not known everywhere yet.
            "TemporaryRedirect",
        ];
        let code = s3.code.as_deref().unwrap_or_default();
        let is_code = codes.contains(&code) || code.starts_with("KMS.Throttling");
        // A status of 500 and more is what it says, whatever code it carries.
        (is_code || matches!(s3.status()?, 408 | 429 | 500..)).then_some(())?;
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
    Cause::new("s3_unproven", Never, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let doubt = s3.doubt?;
        let at = s3.endpoint.as_deref().unwrap_or(&s3.region);
        let cause = format!("{at} answered {} with success, but {}", s3.operation, s3.text);
        Some(match doubt {
            Doubt::Unproven => explanation(
                cause,
                format!(
                    "allow {} on {}, so that the program can read back what is stored, or use a store that \
                     answers with checksums",
                    s3.action,
                    objects(s3)
                ),
            ),
            Doubt::Damaged => explanation(
                cause,
                "find what changes requests on the way; if the store itself does, use a newer version of it, \
                 or set S3_CHECKSUM=header",
            ),
        })
    }),
    Cause::new("s3_request_impossible", Never, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        let Ending::NotSent(why) = &s3.exchange.ending else { return None };
        let names: &[(&str, &str)] = &[
            ("FIPS", "AWS_USE_FIPS_ENDPOINT (or use_fips_endpoint of the profile)"),
            ("ual-stack", "AWS_USE_DUALSTACK_ENDPOINT (or use_dualstack_endpoint of the profile)"),
            ("ualStack", "AWS_USE_DUALSTACK_ENDPOINT (or use_dualstack_endpoint of the profile)"),
            ("partition", "S3_BUCKET_NAME or AWS_REGION"),
            ("region", "S3_BUCKET_NAME or AWS_REGION"),
            ("ARN", "S3_BUCKET_NAME"),
            ("ccelerate", "the setting for S3 Transfer Acceleration"),
        ];
        let set: Vec<_> = names
            .iter()
            .filter(|(word, _)| why.contains(word))
            .map(|(_, setting)| *setting)
            .collect();
        let fix = match (set.first(), &s3.endpoint) {
            (Some(setting), Some(_)) => {
                format!(
                    "correct {setting}, or remove AWS_ENDPOINT_URL: they exclude each other if the message says so"
                )
            }
            (Some(setting), None) => format!("correct {setting}"),
            (None, _) => "correct S3_BUCKET_NAME, AWS_REGION or AWS_ENDPOINT_URL".to_owned(),
        };
        Some(explanation(format!("the settings make no request to S3: {why}"), fix))
    }),
    Cause::new("not_s3", Wait, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        s3.is_of_another_service().then_some(())?;
        let at = s3.endpoint.as_deref().unwrap_or(&s3.region);
        Some(explanation(
            format!("{} was answered by something else than S3 at {at}: {}", s3.operation, s3.text),
            "check that AWS_ENDPOINT_URL, if it is set, is an S3 endpoint, and that no proxy or \
             portal answers in its place",
        ))
    }),
    Cause::new("endpoint_unreachable", Wait, |e| {
        let Failure::S3(s3) = &e.failure else { return None };
        s3.exchange.ending.is_without_response().then_some(())?;
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

/// S3's words, for the end of a sentence.
fn said(e: &Evidence) -> String {
    match &e.failure {
        Failure::S3(s3) => format!(": {}", s3.text),
        _ => String::new(),
    }
}

/// The ARN of all objects of the bucket or access point, for a policy.
fn objects(s3: &S3Failure) -> String {
    let partition = Partition::of_region(&s3.region).id;
    match &s3.bucket {
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-policies.html
        arn if arn.starts_with("arn:") => format!("{arn}/object/*"),
        // A directory bucket: its sessions are allowed for the bucket as a whole.
        name if name.ends_with("--x-s3") => {
            format!("arn:{partition}:s3express:{}:ACCOUNT:bucket/{name}", s3.region)
        }
        name => format!("arn:{partition}:s3:::{name}/*"),
    }
}

/// A request that S3 denied.
fn denied(e: &Evidence) -> Option<&S3Failure> {
    e.s3(&["AccessDenied", "AccessDeniedException"])
}

fn s3_access_denied(e: &Evidence) -> Option<Explanation> {
    let s3 = denied(e)?;
    let (bucket, action, objects) = (&s3.bucket, s3.action, objects(s3));
    let cause =
        format!("{action} on bucket {bucket} is denied to {}; S3 says: {}", e.identity(), s3.text);
    // Only sessions of Pod Identity have tags that an association switches off.
    let tags = match e.principal.as_ref().map(|found| found.provider) {
        None | Some(Provider::PodIdentity) => {
            "; if it asks for session tags (aws:PrincipalTag), check that the association's \
             disableSessionTags is off"
        }
        Some(_) => "",
    };
    let Some(reason) = Reason::of(&s3.text) else {
        return Some(explanation(
            cause,
            format!(
                "allow {action} on {objects} in the role's policy, and check the bucket's policy{tags}"
            ),
        ));
    };
    let place = reason.place("the bucket's policy").unwrap_or("the policy that it names");
    let fix = reason.fix(&format!("{action} on {objects}"), place);
    let tags = if reason.is_of("no identity-based") { tags } else { "" };
    Some(explanation(cause, format!("{fix}{tags}")))
}
