//! Causes on the way to STS and in its answers, for IRSA.
//!
//! The error codes are those of `AssumeRoleWithWebIdentity` and the common ones:
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use super::super::evidence::{Evidence, Failure, StsFailure};
use super::super::reach::Reach;
use super::ResolvedBy::Wait;
use super::{Cause, explanation};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("irsa_audience", Wait, |e| {
        let found = &e.tokens.irsa.as_ref()?.claims()?.aud;
        let is_usual = found.iter().any(|audience| audience == "sts.amazonaws.com");
        // An OIDC provider may have been created for another audience, so STS decides.
        let text = refusal(e, &["InvalidIdentityToken"]).filter(|_| !is_usual)?;
        Some(explanation(
            format!("STS rejects IRSA's token, whose audience is {}: {text}", found.join(", ")),
            "remove the annotation eks.amazonaws.com/audience from the service account, or add its \
             audience to the OIDC provider in IAM (aws iam add-client-id-to-open-id-connect-provider)",
        ))
    }),
    Cause::new("irsa_provider", Wait, |e| {
        let text = refusal(e, &["InvalidIdentityToken"])?;
        Some(explanation(
            format!("STS rejects IRSA's token: {text}"),
            "associate the cluster's OIDC provider with IAM: `eksctl utils \
             associate-iam-oidc-provider`",
        ))
    }),
    Cause::new("irsa_trust_policy", Wait, |e| {
        refusal(e, &["AccessDenied"])?;
        Some(explanation(
            format!("STS does not let {} assume the role of IRSA", e.subject()),
            "name this cluster's OIDC provider, namespace and service account in the role's trust \
             policy",
        ))
    }),
    Cause::new("irsa_token_rejected", Wait, |e| {
        let text = refusal(e, &["ExpiredTokenException", "IDPRejectedClaim"])?;
        Some(explanation(
            format!("STS rejects IRSA's token: {text}"),
            "check the node's kubelet, which renews the token, and its clock, and delete the pod to \
             get a new token",
        ))
    }),
    Cause::new("irsa_issuer_unreachable", Wait, |e| {
        let text = refusal(e, &["IDPCommunicationError"])?;
        Some(explanation(
            format!("STS cannot get the keys of the cluster's OIDC issuer: {text}"),
            "no action is needed on EKS: the program repeats the request; in a cluster of your own, \
             publish the issuer's discovery document and keys where STS can read them",
        ))
    }),
    Cause::new("sts_region_disabled", Wait, |e| {
        let text = refusal(e, &["RegionDisabledException"])?;
        Some(explanation(
            format!("STS is switched off in this region for the role's account: {text}"),
            "activate the region for STS in the account settings of IAM, or set AWS_REGION to another",
        ))
    }),
    Cause::new("sts_service_error", Wait, |e| {
        let (sts, text) = failed(e)?;
        let codes = ["Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure"];
        let is_code = sts.code.as_deref().is_some_and(|code| codes.contains(&code));
        (is_code || matches!(sts.status, Some(429 | 500..))).then_some(())?;
        Some(explanation(
            format!("STS cannot serve the request at the moment: {text}"),
            "no action is needed: the program repeats the request; if it is throttled for long, start \
             fewer pods at a time",
        ))
    }),
    Cause::new("not_sts", Wait, |e| {
        let (_, text) = failed(e).filter(|(sts, _)| sts.reach == Reach::Other)?;
        Some(explanation(
            format!("something else than STS answered IRSA's request: {text}"),
            "check that AWS_ENDPOINT_URL_STS, if it is set, is an endpoint of STS, and that no proxy \
             or portal answers in its place",
        ))
    }),
    Cause::new("sts_unreachable", Wait, |e| {
        let (_, text) = failed(e).filter(|(sts, _)| sts.reach == Reach::NoAnswer)?;
        Some(explanation(
            format!("STS cannot be reached for IRSA's request: {text}"),
            "allow egress to STS (port 443) or add a VPC endpoint for STS, and check AWS_REGION and \
             AWS_ENDPOINT_URL_STS",
        ))
    }),
];

/// What is known of IRSA's request to STS, and the text of the failure, if IRSA is injected.
fn failed(e: &Evidence) -> Option<(&StsFailure, &str)> {
    match &e.failure {
        Failure::Chain { sts: Some(sts), text, .. } if e.injected.has_irsa() => Some((sts, text)),
        _ => None,
    }
}

/// STS's text, if it answered IRSA with one of these codes.
fn refusal<'a>(e: &'a Evidence, codes: &[&str]) -> Option<&'a str> {
    let (sts, text) = failed(e)?;
    sts.code.as_deref().is_some_and(|code| codes.contains(&code)).then_some(text)
}
