//! Tests the stand-in for the EKS Pod Identity Agent with a pod's requests.

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer as Got, exchange, split};
use sandbox::{
    Agent, AgentOptions, AgentProxy, AgentProxyOptions, Answer, Credentials, Reply, Scripted,
};
use tokio::task::JoinSet;

async fn agent() -> Agent {
    Agent::start(Credentials::new(), AgentOptions::default()).await.unwrap()
}

async fn ask(agent: &Agent, token: Option<&str>, host: Option<&str>) -> Got {
    ask_at(&agent.uri(), token, host).await
}

async fn ask_at(uri: &str, token: Option<&str>, host: Option<&str>) -> Got {
    let (address, target) = split(uri);
    let token = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let host = host.unwrap_or(address);
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\n\r\n");
    exchange(address, &[request.as_bytes()]).await
}

#[tokio::test]
async fn invalid_tokens_get_the_error_texts_of_the_agent() {
    let agent = agent().await;
    let expired = agent.mint_token(|claims| claims.exp = claims.iat - 1);
    let early = agent.mint_token(|claims| claims.nbf = claims.iat + 60);
    let elsewhere = agent.mint_token(|claims| claims.aud = vec!["sts.amazonaws.com".to_owned()]);
    let stranger = self::agent().await.mint_token(|_| {});
    let good = agent.mint_token(|_| {});
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (header, claims) = (encoded(r#"{"alg":"ES256"}"#), encoded("{}"));
    let parse = "Service account token cannot be parsed: token is";
    let unparsed = |why: &str| format!("{parse} {why}");
    let basic = "Service account token failed basic claim validations: token is";
    for (token, text) in [
        (None, "Service account token cannot be empty".to_owned()),
        (Some("nonsense"), unparsed("malformed: token contains an invalid number of segments\n")),
        (
            Some(&format!("{header}=.{claims}.a")),
            unparsed("malformed: could not base64 decode header: "),
        ),
        (
            Some(&format!("{claims}.{header}!.a")),
            unparsed("malformed: could not base64 decode claim: "),
        ),
        (Some(&format!("bm8.{claims}.a")), unparsed("malformed: could not JSON decode header: ")),
        (
            Some(&format!("{header}.{}.a", encoded(r#"{"exp":"soon"}"#))),
            unparsed("malformed: could not JSON decode claim: "),
        ),
        (
            Some(&format!("{claims}.{claims}.a")),
            unparsed("unverifiable: signing method (alg) is unspecified\n"),
        ),
        (
            Some(&format!("{}.{claims}.a", encoded(r#"{"alg":"ES255"}"#))),
            unparsed("unverifiable: signing method (alg) is unavailable\n"),
        ),
        (Some(&expired), format!("{basic} expired\n")),
        (Some(&early), format!("{basic} not valid yet\n")),
        (Some(&elsewhere), "(InvalidTokenException)".to_owned()),
        (Some(&stranger), "(InvalidTokenException)".to_owned()),
        (Some(&forged), "(InvalidTokenException)".to_owned()),
    ] {
        let answer = ask(&agent, token, None).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains(&text), "{text}: {}", answer.text());
    }
    assert!(agent.issued().is_empty());
}

#[tokio::test]
async fn only_requests_to_the_addresses_of_the_agent_are_answered() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    for host in [
        "169.254.170.23",
        "169.254.170.23:80",
        "[fd00:ec2::23]:80",
        "[fd00:ec2::23]",
        "fd00:ec2::23",
    ] {
        assert_eq!(ask(&agent, Some(&token), Some(host)).await.status(), 200);
    }
    let refused = ask(&agent, Some(&token), Some("evil.example")).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().starts_with("Access Denied. Called agent through invalid address"));
}

#[tokio::test]
async fn what_the_agent_cannot_read_of_eks_auth_is_a_status_and_empty_brackets() {
    let token = agent().await.mint_token(|_| {});
    let eks_auth = Scripted::start(|asked| {
        let status = asked.target.split('/').nth(2).unwrap().parse().unwrap();
        match status {
            400 => Reply::new(400, r#"{"__type":"aws#Other:http://a","message":"why"}"#),
            404 => Reply::new(404, ""),
            status => Reply::new(status, "<html>a page</html>").header("x-amzn-requestid", "an-id"),
        }
    });
    let eks_auth = eks_auth.await.unwrap();
    let mut cases = JoinSet::new();
    for (endpoint, cluster, status, text) in [
        (eks_auth.url(""), "200", 200, "[an-id]"),
        (eks_auth.url(""), "403", 403, "[an-id]"),
        (eks_auth.url(""), "502", 502, "[an-id]"),
        (eks_auth.url(""), "400", 400, "[]: (Other): why, fault: unknown"),
        (eks_auth.url(""), "404", 404, "[]: (UnknownError): UnknownError, fault: unknown"),
        ("http://127.0.0.1:1".to_owned(), "nobody", 500, "[]"),
    ] {
        let token = token.clone();
        // At the same time, because the SDK pauses for seconds before it asks again.
        cases.spawn(async move {
            let options = AgentProxyOptions::new(&endpoint, cluster);
            let agent = AgentProxy::start(options).await.unwrap();
            let refused = ask_at(&agent.uri(), Some(&token), Some("169.254.170.23")).await;
            assert_eq!((refused.status(), refused.text()), (status, format!("{text}\n")));
            // Without the option, the address that it listens on is not the agent's.
            assert_eq!(ask_at(&agent.uri(), Some(&token), None).await.status(), 403);
        });
    }
    cases.join_all().await;
    assert_eq!(eks_auth.asked().len(), 7, "only the page of the 502 is asked for again");
}

#[tokio::test]
async fn a_path_that_go_would_clean_is_redirected() {
    let agent = agent().await;
    for path in ["//v1/credentials", "/v1/./credentials", "/x/../v1//credentials"] {
        let uri = agent.uri().replace("/v1/credentials", path);
        let redirect = ask_at(&uri, None, None).await;
        assert_eq!(
            (redirect.status(), redirect.header("location")),
            (307, Some("/v1/credentials"))
        );
    }
    let missing = ask_at(&(agent.uri() + "/"), None, None).await;
    assert_eq!((missing.status(), missing.text().as_str()), (404, "404 page not found\n"));
}

#[tokio::test]
async fn denials_are_relayed_with_the_services_text() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    let node = "arn:aws:sts::123456789012:assumed-role/node/i-0123456789abcdef0";
    agent.set_answer(Answer::node_role_denied(node));
    let got = ask(&agent, Some(&token), None).await;
    assert_eq!(got.status(), 400);
    let got = got.text();
    let (id, rest) = got.split_once("]: ").unwrap();
    assert!(id.starts_with('[') && id.len() == 37, "{got}");
    let text = format!(
        "User: {node} is not authorized to perform: eks-auth:AssumeRoleForPodIdentity on resource: arn:aws:eks:us-east-1:123456789012:cluster/demo"
    );
    assert_eq!(rest, format!("(AccessDeniedException): {text}, fault: client\n"));
    assert!(agent.issued().is_empty());
}
