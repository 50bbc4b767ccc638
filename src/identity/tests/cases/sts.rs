//! Causes on the way to STS and in its answers.

use super::super::super::reach::Reach;
use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![
        (
            "irsa_audience",
            with_irsa_token(claims("vault", NEVER)),
            "the audience vault of IRSA's token: InvalidIdentityToken",
            "annotation eks.amazonaws.com/audience",
        ),
        (
            "irsa_provider",
            irsa(
                "InvalidIdentityToken",
                "No OpenIDConnect provider found in your account for https://oidc.example/id/1",
            ),
            "STS rejects",
            "associate-iam-oidc-provider",
        ),
        (
            "irsa_issuer",
            irsa(
                "InvalidIdentityToken",
                "Couldn't retrieve verification key from your identity provider",
            ),
            "verification key",
            "publish the issuer's discovery document",
        ),
        (
            "irsa_token_rejected",
            irsa("ExpiredTokenException", "Token expired"),
            "Token expired",
            "the node's kubelet",
        ),
        (
            "irsa_trust_policy",
            irsa("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "assume the role arn:aws:iam::123456789012:role/till",
            "trust policy",
        ),
        (
            "sts_region_disabled",
            irsa("RegionDisabledException", "STS is not activated in this region"),
            "switched off in this region",
            "activate the region",
        ),
        ("sts_service_error", irsa("Throttling", "Rate exceeded"), "Rate exceeded", "fewer pods"),
        (
            "sts_endpoint",
            irsa_reached(Reach::Unsent, "Custom endpoint `…` was not a valid URI"),
            "make no request to STS",
            "http:// or https://",
        ),
        (
            "not_sts",
            irsa_reached(Reach::Other, "the provider's answer has no expiry"),
            "has no expiry",
            "no proxy or portal",
        ),
        (
            "sts_unreachable",
            irsa_reached(Reach::NoAnswer, "connection refused"),
            "connection refused",
            "VPC endpoint for STS",
        ),
    ]
}
