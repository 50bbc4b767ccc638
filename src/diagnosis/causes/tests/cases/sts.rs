//! Causes on the way to STS and in its responses.

use super::super::samples::*;
use super::Case;
use crate::aws::Ending;

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
            "sts_denied",
            irsa(
                "AccessDenied",
                "User: x is not authorized to perform: sts:AssumeRoleWithWebIdentity with an explicit deny in \
                 a service control policy",
            ),
            "with an explicit deny in a service control policy",
            "the organization's service control policy",
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
        (
            "sts_request_invalid",
            irsa("ValidationError", "1 validation error detected: roleArn"),
            "1 validation error detected: roleArn",
            "AWS_ROLE_ARN",
        ),
        ("sts_service_error", irsa("Throttling", "Rate exceeded"), "Rate exceeded", "fewer pods"),
        (
            "sts_endpoint",
            irsa_reached(
                "",
                Some(Ending::NotSent("Custom endpoint `…` was not a valid URI".to_owned())),
            ),
            "make no request to STS",
            "http:// or https://",
        ),
        (
            "sts_unreachable",
            irsa_reached("", Some(Ending::Refused)),
            "Connection refused by host:80",
            "VPC endpoint for STS",
        ),
        (
            "not_sts",
            irsa_reached(
                "the credentials have no expiry",
                Some(Ending::Response { status: 200, text: String::new() }),
            ),
            "HTTP status 200",
            "no proxy or portal",
        ),
    ]
}
