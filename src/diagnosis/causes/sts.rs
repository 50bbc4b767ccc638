//! Causes on the way to STS and in its responses, for IRSA and for the roles of profiles.
//!
//! The error codes are those of `AssumeRoleWithWebIdentity` and the common ones:
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>,
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use super::super::evidence::{Evidence, StsFailure};
use super::ResolvedBy::{Never, Propagation, Wait};
use super::policy::Reason;
use super::{Cause, explanation};
use crate::aws::{Ending, Exchange};
use crate::errors::find_cause;
use crate::identity::{Provider, ROLE_ARN, Token, Unusable};

pub(super) const CAUSES: &[Cause] = &[
    // STS has one code for many faults of a token, so its text decides.
    Cause::new("irsa_audience", Propagation, |e| {
        let text = refused_token(e, &["audience"])?;
        let claims = e.tokens.irsa.as_ref().and_then(Token::claims);
        let found = claims.map(|claims| format!(" {}", claims.aud.join(", "))).unwrap_or_default();
        Some(explanation(
            format!("STS does not accept the audience{found} of IRSA's token: {text}"),
            "remove the annotation eks.amazonaws.com/audience from the service account, or add its \
             audience to the OIDC provider in IAM (aws iam add-client-id-to-open-id-connect-provider)",
        ))
    }),
    Cause::new("irsa_provider", Propagation, |e| {
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
    Cause::new("sts_denied", Propagation, |e| {
        let text = refusal(e, &["AccessDenied"])?;
        let reason = Reason::of(&text)?;
        let place = reason.place("the role's trust policy").unwrap_or("the policy that IAM names");
        Some(explanation(
            format!("STS does not let {} assume the role {}: {text}", e.subject(), role(e)),
            reason.fix("sts:AssumeRoleWithWebIdentity", place),
        ))
    }),
    Cause::new("irsa_trust_policy", Propagation, |e| {
        let text = refusal(e, &["AccessDenied"])?;
        Some(explanation(
            format!("STS does not let {} assume the role {}: {text}", e.subject(), role(e)),
            "check that the role exists, and name this cluster's OIDC provider, namespace and service \
             account in its trust policy",
        ))
    }),
    Cause::new("sts_region_disabled", Never, |e| {
        let text = refusal(e, &["RegionDisabledException"])?;
        Some(explanation(
            format!("STS is switched off in this region for the role's account: {text}"),
            "activate the region for STS in the account settings of IAM, or set AWS_REGION to another",
        ))
    }),
    Cause::new("sts_request_invalid", Never, |e| {
        let codes = [
            "ValidationError",
            "MalformedPolicyDocument",
            "InvalidParameterValue",
            "MissingParameter",
        ];
        let text = refusal(e, &codes)?;
        Some(explanation(
            format!("STS does not accept the request for the role {}: {text}", role(e)),
            "correct AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME and the token in AWS_WEB_IDENTITY_TOKEN_FILE, \
             whichever STS names",
        ))
    }),
    Cause::new("sts_service_error", Wait, |e| {
        let (provider, _) = asked(e)?;
        let sts = e.sts(provider)?;
        let codes = ["Throttling", "ThrottlingException", "ServiceUnavailable", "InternalFailure"];
        let is_code = sts.code.as_deref().is_some_and(|code| codes.contains(&code));
        (is_code || matches!(sts.status, Some(429 | 500..))).then_some(())?;
        Some(explanation(
            format!("STS cannot serve the request at the moment: {}", sts.text),
            "no action is needed: the program repeats the request; if it is throttled for long, start \
             fewer pods at a time",
        ))
    }),
    Cause::new("sts_endpoint", Never, |e| {
        let (provider, exchange) = asked(e)?;
        let why = match exchange.map(|exchange| &exchange.ending) {
            Some(Ending::NotSent(why)) => why.clone(),
            // Nothing was sent, and no file or value is at fault: the SDK made no request of the settings.
            None => e.sts(provider).filter(|sts| sts.status.is_none())?.text,
            _ => return None,
        };
        Some(explanation(
            format!("the settings make no request to STS: {why}"),
            "correct AWS_REGION or AWS_ENDPOINT_URL_STS, which is a URL with http:// or https://, and \
             AWS_USE_FIPS_ENDPOINT or AWS_USE_DUALSTACK_ENDPOINT, which exclude an endpoint of one's own",
        ))
    }),
    Cause::new("sts_unreachable", Wait, |e| {
        let (_, exchange) = asked(e)?;
        let exchange = exchange.filter(|exchange| exchange.ending.is_without_response())?;
        Some(explanation(
            format!("STS cannot be reached: {exchange}"),
            "allow egress to STS (port 443) or add a VPC endpoint for STS, and check AWS_REGION and \
             AWS_ENDPOINT_URL_STS",
        ))
    }),
    Cause::new("not_sts", Wait, |e| {
        let (provider, exchange) = asked(e)?;
        let failure = e.failed(provider)?;
        let said = match e.sts(provider) {
            // An error with a code is of STS.
            Some(StsFailure { code: Some(code), .. }) if code != "NotFound" => return None,
            Some(sts) => sts.text,
            None => find_cause::<Unusable>(&*failure.error)
                .map(ToString::to_string)
                .or_else(|| exchange.map(ToString::to_string))?,
        };
        Some(explanation(
            format!("something else than STS answered: {said}"),
            "check that AWS_ENDPOINT_URL_STS, if it is set, is an endpoint of STS, and that no proxy \
             or portal answers in its place",
        ))
    }),
];

/// The provider that failed and asks STS, and its last request.
fn asked(e: &Evidence) -> Option<(Provider, Option<&Exchange>)> {
    let failure = e.chain()?;
    let provider = failure
        .provider
        .filter(|provider| [Provider::Irsa, Provider::Profile].contains(provider))?;
    Some((provider, failure.exchange.as_ref()))
}

fn role(e: &Evidence) -> &str {
    e.injected.variable(ROLE_ARN).unwrap_or("of IRSA")
}

/// STS's text, if it says one of these words of the token.
fn refused_token(e: &Evidence, words: &[&str]) -> Option<String> {
    refusal(e, &["InvalidIdentityToken"])
        .filter(|text| words.iter().any(|word| text.contains(word)))
}

/// STS's text, if it answered IRSA with one of these codes.
fn refusal(e: &Evidence, codes: &[&str]) -> Option<String> {
    let sts = e.sts(Provider::Irsa)?;
    sts.code.as_deref().is_some_and(|code| codes.contains(&code)).then_some(sts.text)
}
