//! Causes on the way to STS and in its answers.

use super::super::super::reach::Reach;
use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![
        (
            "irsa_audience",
            with_irsa_token(claims("vault", NEVER)),
            "whose audience is vault: InvalidIdentityToken",
            "annotation eks.amazonaws.com/audience",
        ),
        (
            "irsa_provider",
            irsa("InvalidIdentityToken", "No OpenIDConnect provider found"),
            "STS rejects",
            "associate-iam-oidc-provider",
        ),
        (
            "irsa_trust_policy",
            irsa("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "assume the role",
            "trust policy",
        ),
        (
            "irsa_token_rejected",
            irsa("ExpiredTokenException", "Token expired"),
            "Token expired",
            "the node's kubelet",
        ),
        (
            "irsa_issuer_unreachable",
            irsa("IDPCommunicationError", "Couldn't retrieve verification key"),
            "verification key",
            "publish the issuer's discovery document",
        ),
        (
            "sts_region_disabled",
            irsa("RegionDisabledException", "STS is not activated in this region"),
            "switched off in this region",
            "activate the region",
        ),
        ("sts_service_error", irsa("Throttling", "Rate exceeded"), "Rate exceeded", "fewer pods"),
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
