//! Denials and other errors of STS.

use sandbox::Answer;

use super::{Right, Wrong, irsa};
use crate::harness::World;

#[tokio::test]
async fn the_reason_that_iam_gives_decides_the_fix() {
    let mut wrong = Wrong::default();
    let denied = "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized to perform: sts:AssumeRoleWithWebIdentity on resource: arn:aws:iam::123456789012:role/irsa";
    for (reason, id) in [
        (" with an explicit deny in a service control policy", "sts_denied"),
        (
            " because no service control policy allows the sts:AssumeRoleWithWebIdentity action",
            "sts_denied",
        ),
        (" with an explicit deny in a resource control policy", "sts_denied"),
        (
            " because no resource control policy allows the sts:AssumeRoleWithWebIdentity action",
            "sts_denied",
        ),
        (" with an explicit deny in an identity-based policy", "sts_denied"),
        (
            " because no permissions boundary allows the sts:AssumeRoleWithWebIdentity action",
            "sts_denied",
        ),
        (
            " because no session policy allows the sts:AssumeRoleWithWebIdentity action",
            "sts_denied",
        ),
        (" with an explicit deny in a VPC endpoint policy", "sts_denied"),
        ("", "irsa_trust_policy"),
    ] {
        let world = World::new().await;
        world.sandbox.sts.set_answer(Answer::Status(403, format!("{denied}{reason}")));
        let right = Right { id, code: 3, cause: &[reason.trim()], ..Right::default() };
        wrong.told(reason, irsa(&world, ""), right).await;
    }
    for (text, id) in [
        (
            "ValidationError: 1 validation error detected: Value at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20",
            "sts_request_invalid",
        ),
        ("ValidationError: Request ARN is invalid", "sts_request_invalid"),
        (
            "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity",
            "irsa_trust_policy",
        ),
    ] {
        let world = World::new().await;
        world.sandbox.sts.set_answer(Answer::Status(400, text.to_owned()));
        let (_, said) = text.split_once(": ").expect("a code");
        let right = Right { id, code: 3, cause: &[said], ..Right::default() };
        wrong.told(text, irsa(&world, ""), right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn an_authorization_id_is_no_part_of_the_reason_and_has_its_command() {
    let world = World::new().await;
    let id = "auth-0123456789abcdef";
    let text = format!(
        "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/a/b is not authorized to perform: sts:AssumeRoleWithWebIdentity on resource: arn:aws:iam::123456789012:role/irsa with an explicit deny in a service control policy. Go to https://console.aws.amazon.com/iam/x for complete details, or call the GetRequestAuthorizationDetails API with the following authorization id: {id}"
    );
    world.sandbox.sts.set_answer(Answer::Status(403, text));
    let command =
        format!("aws iam-toolbox get-request-authorization-details --authorization-id {id}");
    let mut wrong = Wrong::default();
    let right = Right { id: "sts_denied", code: 3, fix: &[&command], ..Right::default() };
    wrong.told("authorization id", irsa(&world, ""), right).await;
    wrong.none();
}
