//! Causes in the association.

use super::super::samples::*;
use super::Case;

pub(super) fn cases() -> Vec<Case> {
    let exception = |code: &str, text: &str| format!("[id]: ({code}): {text}, fault: client");
    let denied = |text: &str| refusal(400, &exception("AccessDeniedException", text));
    let link = |action: &str, account: &str, reason: &str| {
        denied(&format!(
            "User: arn:aws:sts::123456789012:assumed-role/first/eks is not authorized to perform: \
             {action} on resource: arn:aws:iam::{account}:role/second{reason}"
        ))
    };
    vec![
        (
            "no_association",
            refusal(404, &exception("ResourceNotFoundException", "text")),
            "namespace shop, service account till",
            "podidentityassociation",
        ),
        (
            "trust_policy",
            denied(
                "Unauthorized Exception! EKS does not have permissions to assume the associated \
                 role.",
            ),
            "may not assume",
            "sts:TagSession",
        ),
        (
            "target_role_permission",
            link(
                "sts:AssumeRole",
                "123456789012",
                " because no identity-based policy allows the sts:AssumeRole action",
            ),
            "is not allowed to perform sts:AssumeRole on the target role \
             arn:aws:iam::123456789012:role/second because no identity-based policy allows",
            "in the policy of the associated role",
        ),
        (
            "target_role_trust",
            link("sts:TagSession", "123456789012", ""),
            "is not allowed to perform sts:TagSession on the target role",
            "trust policy of arn:aws:iam::123456789012:role/second",
        ),
        (
            "target_role",
            link("sts:AssumeRole", "210987654321", ""),
            "arn:aws:iam::210987654321:role/second",
            "external ID",
        ),
        (
            "session_too_large",
            refusal(
                400,
                &exception(
                    "InvalidRequestException",
                    "PackedPolicyTooLarge: Packed size of session policy consumes 105% of allotted \
                     space.",
                ),
            ),
            "the packed size of the association's session policy exceeds",
            "shorten",
        ),
        (
            "session_policy_rejected",
            refusal(
                400,
                &exception(
                    "InvalidRequestException",
                    "MalformedPolicyDocument: Policy document is not valid JSON",
                ),
            ),
            "not valid JSON",
            "disableSessionTags",
        ),
    ]
}
