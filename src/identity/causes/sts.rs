//! Causes on the way to STS and in its answers, for IRSA.
//!
//! The error codes are those of `AssumeRoleWithWebIdentity` and the common ones:
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use super::super::evidence::{Evidence, Failure, StsFailure};
use super::super::injected::ROLE_ARN;
use super::super::reach::Reach;
use super::super::token::Token;
use super::ResolvedBy::{Never, Wait};
use super::{Cause, explanation};

pub(super) const CAUSES: &[Cause] = &[
    // STS has one code for many faults of a token, so its text decides.
    Cause::new("irsa_audience", Wait, |e| {
        let text = refused_token(e, &["audience"])?;
        let claims = e.tokens.irsa.as_ref().and_then(Token::claims);
        let found = claims.map(|claims| format!(" {}", claims.aud.join(", "))).unwrap_or_default();
        Some(explanation(
            format!("STS does not accept the audience{found} of IRSA's token: {text}"),
            "remove the annotation eks.amazonaws.com/audience from the service account, or add its \
             audience to the OIDC provider in IAM (aws iam add-client-id-to-open-id-connect-provider)",
        ))
    }),
    Cause::new("irsa_provider", Wait, |e| {
        let text = refused_token(e, &["No OpenIDConnect provider"])?;
        Some(explanation(
            format!("STS rejects IRSA's token: {text}"),
            "associate the cluster's OIDC provider with IAM: `eksctl utils \
             associate-iam-oidc-provider`",
        ))
    }),
    Cause::new("irsa_issuer", Wait, |e| {
        let text = refusal(e, &["IDPCommunicationError"])
            .or_else(|| refused_token(e, &["verification key", "thumbprint"]))?;
        Some(explanation(
            format!("STS cannot verify IRSA's token with the cluster's OIDC issuer: {text}"),
            "check that the token's issuer is this cluster's; in a cluster of your own, publish the \
             issuer's discovery document and keys where STS can read them, and renew the thumbprint of \
             its OIDC provider in IAM",
        ))
    }),
    Cause::new("irsa_token_rejected", Wait, |e| {
        let codes = ["ExpiredTokenException", "IDPRejectedClaim", "InvalidIdentityToken"];
        let text = refusal(e, &codes)?;
        Some(explanation(
            format!("STS rejects IRSA's token: {text}"),
            "check the node's kubelet, which renews the token, and its clock, and delete the pod to \
             get a new token",
        ))
    }),
    Cause::new("irsa_trust_policy", Wait, |e| {
        refusal(e, &["AccessDenied"])?;
        let role = e.injected.variable(ROLE_ARN).unwrap_or("of IRSA");
        Some(explanation(
            format!("STS does not let {} assume the role {role}", e.subject()),
            "check that the role exists, and name this cluster's OIDC provider, namespace and service \
             account in its trust policy",
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
    Cause::new("sts_endpoint", Never, |e| {
        let (_, text) = failed(e).filter(|(sts, _)| sts.reach == Reach::Unsent)?;
        Some(explanation(
            format!("the settings make no request to STS: {text}"),
            "correct AWS_REGION or AWS_ENDPOINT_URL_STS, which is a URL with http:// or https://",
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
pub(super) fn failed(e: &Evidence) -> Option<(&StsFailure, &str)> {
    match &e.failure {
        Failure::Chain { sts: Some(sts), text, .. } if e.injected.has_irsa() => Some((sts, text)),
        _ => None,
    }
}

/// STS's text, if it says one of these words of the token.
fn refused_token<'a>(e: &'a Evidence, words: &[&str]) -> Option<&'a str> {
    refusal(e, &["InvalidIdentityToken"])
        .filter(|text| words.iter().any(|word| text.contains(word)))
}

/// STS's text, if it answered IRSA with one of these codes.
fn refusal<'a>(e: &'a Evidence, codes: &[&str]) -> Option<&'a str> {
    let (sts, text) = failed(e)?;
    sts.code.as_deref().is_some_and(|code| codes.contains(&code)).then_some(text)
}
