//! The Pod Identity Agent, and what answers in its place.

use std::time::Duration;

use sandbox::{Answer, Reply};

use super::{Right, Wrong, always, identity};
use crate::harness::World;

/// Answers of others at the agent's address, with their sources.
const IN_ITS_PLACE: [(&str, u16, &str); 14] = [
    // Envoy's own responses (docs: "Response code details"; source/common/http/utility, router).
    ("envoy", 403, "RBAC: access denied"),
    ("envoy", 404, ""),
    ("envoy", 503, "no healthy upstream"),
    (
        "envoy",
        503,
        "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    ),
    ("envoy", 504, "upstream request timeout"),
    ("envoy", 429, "local_rate_limited"),
    // Squid's templates (errors/templates/ERR_ACCESS_DENIED, ERR_CONNECT_FAIL).
    (
        "squid",
        403,
        "<html><title>ERROR: The requested URL could not be retrieved</title><p>Access Denied.</p></html>",
    ),
    (
        "squid",
        503,
        "<html><title>ERROR: The requested URL could not be retrieved</title><p>Connection to 169.254.170.23 failed.</p></html>",
    ),
    // nginx's pages (src/http/ngx_http_special_response.c).
    (
        "nginx",
        404,
        "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>",
    ),
    (
        "nginx",
        502,
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>",
    ),
    ("nginx", 504, "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n</html>"),
    // linkerd2-proxy answers with an empty body and the header l5d-proxy-error.
    ("linkerd", 502, ""),
    ("linkerd", 504, ""),
    ("captive portal", 511, "Network Authentication Required"),
];

#[tokio::test]
async fn only_the_agents_own_forms_are_the_agents() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    for (who, status, text) in IN_ITS_PLACE {
        let server = always(Reply::new(status, text).header("server", who)).await;
        let job = identity(&world, "")
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/v1/credentials"));
        let right = Right {
            id: "not_the_agent",
            code: 3,
            cause: &[&status.to_string()],
            fix: &["169.254.170.23/32", "fd00:ec2::23/128"],
            never: &["VPC endpoint", "eks-auth"],
        };
        wrong.told(&format!("{who} {status} {text:.30}"), job, right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn the_agents_own_failures_have_causes_of_their_own() {
    let mut wrong = Wrong::default();
    let service = |code: &str, text: &str| format!("[0f-1]: ({code}): {text}, fault: client");
    for (status, text, id, cause) in [
        (500, "[]".to_owned(), "agent_service_error", "EKS Auth"),
        (500, "unable to fetch credentials from EKS Auth: operation error EKS Auth: AssumeRoleForPodIdentity, get identity: get credentials: failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata".to_owned(), "agent_node_credentials", "no EC2 IMDS role found"),
        (500, "unable to fetch credentials from EKS Auth: operation error EKS Auth: AssumeRoleForPodIdentity, failed to resolve service endpoint, endpoint rule error, Invalid Configuration: Missing Region".to_owned(), "agent_node_credentials", "Missing Region"),
        (404, service("ResourceNotFoundException", "No cluster found for name: other."), "agent_cluster_unknown", "other"),
        (404, service("ResourceNotFoundException", "Some text."), "no_association", "service account demo"),
        (400, service("InvalidTokenException", "Some text."), "token_rejected", "rejects"),
        (429, "Too Many Requests".to_owned(), "agent_busy", "429"),
        (500, service("InternalServerException", "An internal error."), "agent_service_error", "internal error"),
    ] {
        let world = World::new().await;
        world.sandbox.agent.set_answer(Answer::Status(status, text.clone()));
        let right = Right { id, code: 3, cause: &[cause], ..Right::default() };
        wrong.told(&text, identity(&world, ""), right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn a_slow_agent_is_another_thing_than_no_connection() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Hang);
    let right =
        Right { id: "agent_slow", code: 3, never: &["network policies"], ..Right::default() };
    wrong.told("hang", identity(&world, ""), right).await;
    let refused = identity(&world, "")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials");
    let right = Right { id: "agent_not_running", code: 3, ..Right::default() };
    wrong.told("refused", refused, right).await;
    // As long as the agent's SDK repeats its request to EKS Auth.
    let error = Reply::new(500, "[]\n").header("content-type", "text/plain; charset=utf-8");
    let late = always(Reply::Late(Duration::from_millis(8400), error.into())).await;
    let job =
        identity(&world, "").env("AWS_CONTAINER_CREDENTIALS_FULL_URI", late.url("/v1/credentials"));
    let right = Right { id: "agent_service_error", code: 3, ..Right::default() };
    wrong.told("8.4 s", job, right).await;
    wrong.none();
}

#[tokio::test]
async fn the_agent_is_asked_once() {
    for change in [false, true] {
        let world = World::new().await;
        if change {
            world.sandbox.agent.dissociate("demo", "demo");
        }
        identity(&world, "").finish().await.expect(if change { 3 } else { 0 });
        assert_eq!(world.sandbox.agent.requests(), 1, "dissociated: {change}");
    }
}

#[tokio::test]
async fn only_the_requests_that_failed_decide_under_a_flood() {
    // The SDK's three requests get 429, and all later ones would succeed.
    let world = World::new().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let good = Reply::new(200, "{}");
    let flood = super::scripted(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if number < 4 { Reply::new(429, "Too Many Requests\n") } else { good.clone() }
    })
    .await;
    let job = identity(&world, "")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", flood.url("/v1/credentials"));
    let mut wrong = Wrong::default();
    wrong.told("flood", job, Right { id: "agent_busy", code: 3, ..Right::default() }).await;
    wrong.none();
}

#[tokio::test]
async fn on_fargate_there_is_no_agent() {
    let world = World::new().await;
    let agent = &world.sandbox.agent;
    let node = "fargate-ip-10-0-1-2.ec2.internal";
    let token = agent.mint_token(|claims| claims.kubernetes.node.name = node.to_owned());
    agent.write_token(&token).expect("written");
    agent.close();
    let mut wrong = Wrong::default();
    let right = Right {
        id: "no_agent_on_fargate",
        code: 3,
        fix: &["IRSA"],
        never: &["network policies"],
        ..Right::default()
    };
    wrong.told("fargate", identity(&world, ""), right).await;
    wrong.none();
}
