//! What S3 says, and requests that no setting can make.

use sandbox::{ErrorAnswer, Fault, Reply};

use super::{Right, Wrong, always, bare, identity};
use crate::harness::World;
use crate::served::Served;

const DETAILS: &str = "Go to https://console.aws.amazon.com/iam/x for complete details, or call the GetRequestAuthorizationDetails API with the following authorization id: auth-0123456789abcdef";

#[tokio::test]
async fn a_code_is_told_with_its_text() {
    let mut wrong = Wrong::default();
    let error = |status, code, text: &str| ErrorAnswer::new(status, code).message(text);
    let malformed = "AuthorizationHeaderMalformed";
    for (answer, id, cause, never) in [
        (
            error(
                403,
                "AccessDenied",
                "There were headers present in the request which were not signed",
            ),
            "request_altered",
            "not signed",
            "s3:PutObject on",
        ),
        (
            error(
                400,
                malformed,
                "The authorization header is malformed; a non-empty Access Key (AKID) must be provided in the credential.",
            ),
            "credentials_rejected",
            "AKID",
            "AWS_REGION to",
        ),
        (
            ErrorAnswer::wrong_region("us-east-1", "eu-west-1"),
            "wrong_region",
            "eu-west-1",
            "another region",
        ),
        (
            error(
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            ),
            "credentials_rejected",
            "does not exist in our records",
            "replace the keys",
        ),
        (
            error(400, "ExpiredToken", "The provided token has expired."),
            "credentials_rejected",
            "has expired",
            "replace the keys",
        ),
        (
            error(403, "AccessDenied", "some words of a gateway"),
            "s3_access_denied",
            "some words of a gateway",
            "association id",
        ),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail("PutObject", 9, Fault::Error(answer.clone()));
        let right = Right { id, cause: &[cause], never: &[never], ..Right::default() };
        wrong.probed(&format!("{answer:?}"), identity(&world, "--probe"), right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn static_keys_that_s3_rejects_are_to_be_replaced() {
    let mut wrong = Wrong::default();
    for (status, code) in [
        (400, "ExpiredToken"),
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "InvalidToken"),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail(
            "PutObject",
            9,
            Fault::Error(ErrorAnswer::new(status, code).message("its own words")),
        );
        let job = bare(&world, "--probe")
            .env("AWS_ACCESS_KEY_ID", "AKIASTATICSTATICKEYS")
            .env("AWS_SECRET_ACCESS_KEY", "static-secret-static-secret-static-secret");
        let right = Right {
            id: "static_keys_rejected",
            cause: &["its own words"],
            never: &["association", "no action is needed"],
            ..Right::default()
        };
        wrong.probed(code, job, right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn settings_that_exclude_each_other_are_named() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    let at = |name: &str, value: &str| identity(&world, "--probe").env(name, value);
    for (what, job, id) in [
        ("fips", at("AWS_USE_FIPS_ENDPOINT", "true"), "s3_request_impossible"),
        ("dual-stack", at("AWS_USE_DUALSTACK_ENDPOINT", "true"), "s3_request_impossible"),
        (
            "plain HTTP",
            at("AWS_ENDPOINT_URL_S3", &world.sandbox.s3.endpoint().replace("http:", "https:")),
            "plain_http_port",
        ),
    ] {
        let never = &["allow egress"][..];
        wrong.probed(what, job, Right { id, never, ..Right::default() }).await;
    }
    wrong.none();
}

#[tokio::test]
async fn a_denied_bucket_is_named_in_its_partition() {
    let mut wrong = Wrong::default();
    for (region, partition) in [
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("eu-central-1", "aws"),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail("PutObject", 9, Fault::Status(403, "AccessDenied"));
        let job = identity(&world, "--probe").env("AWS_REGION", region);
        let arn = format!("arn:{partition}:s3:::pictures/");
        let right = Right { id: "s3_access_denied", fix: &[&arn], ..Right::default() };
        wrong.probed(region, job, right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn a_denied_session_of_s3_express_names_its_action() {
    let world = World::new().await;
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let denying = always(Reply::new(403, body).header("content-type", "application/xml")).await;
    let job = identity(&world, "--probe")
        .env("S3_BUCKET_NAME", "demo--use1-az4--x-s3")
        .env("AWS_ENDPOINT_URL_S3", denying.url(""));
    let mut wrong = Wrong::default();
    let right = Right {
        id: "s3_access_denied",
        fix: &["s3express:CreateSession"],
        never: &["allow egress"],
        ..Right::default()
    };
    wrong.probed("CreateSession", job, right).await;
    let paths: Vec<_> = denying.asked().into_iter().map(|asked| asked.target).collect();
    wrong.expect(
        "a session was asked for",
        paths.iter().any(|path| path.contains("session")),
        format!("{paths:?}"),
    );
    wrong.none();
}

#[tokio::test]
async fn an_authorization_id_has_its_command_and_waiting_is_not_the_cure() {
    let world = World::new().await;
    let principal = "arn:aws:sts::123456789012:assumed-role/demo/eks-demo";
    for (reason, id) in [
        ("because no identity-based policy allows the s3:PutObject action", "s3_access_denied"),
        ("with an explicit deny in a service control policy", "s3_access_denied"),
        ("because no session policy allows the s3:PutObject action", "session_policy"),
    ] {
        let text = format!("{reason}. {DETAILS}");
        let answer =
            ErrorAnswer::denied(principal, "s3:PutObject", "arn:aws:s3:::pictures/x", &text);
        world.sandbox.s3.fail("PutObject", 1, Fault::Error(answer));
        let mut wrong = Wrong::default();
        let command = "aws iam-toolbox get-request-authorization-details --authorization-id auth-0123456789abcdef";
        let right = Right { id, fix: &[command], cause: &[reason], ..Right::default() };
        let report = wrong.probed(reason, identity(&world, "--probe"), right).await;
        let by = &report["access"]["diagnosis"]["resolved_by"];
        wrong.expect(reason, by == "propagation", by);
        wrong.none();
    }
}

#[tokio::test]
async fn a_job_tells_the_command_for_an_authorization_id_in_its_log_and_to_who_asks() {
    const COMMAND: &str = "aws iam-toolbox get-request-authorization-details --authorization-id auth-0123456789abcdef";
    let world = World::new().await;
    let text =
        format!("because no identity-based policy allows the s3:PutObject action. {DETAILS}");
    let denied =
        ErrorAnswer::denied("arn:aws:sts::1:assumed-role/demo/x", "s3:PutObject", "x", &text);
    world.sandbox.s3.fail("PutObject", 1_000_000, Fault::Error(denied));
    let served = Served::start(&world, "/random", "--interval 100ms").await;
    served.job.wrote("upload failed", 1).await;
    let (_, status) = served.get("/api/status").await;
    assert!(status.contains(COMMAND), "{status}");
    let ready = served.wait_for("/readyz", 503).await;
    assert!(ready.contains("s3_access_denied"), "{ready}");
    let done = served.job.terminate().await;
    let fix = done.events("upload failed")[0]["fix"].as_str().unwrap_or_default().to_owned();
    assert!(fix.contains(COMMAND), "{fix}");
}
