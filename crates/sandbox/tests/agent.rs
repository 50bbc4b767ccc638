//! Tests the stand-in for the EKS Pod Identity Agent with a pod's requests.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net;
use std::time::{Duration, SystemTime};

use common::{Answer as Got, exchange, split};
use sandbox::{Agent, AgentOptions, Answer, Credentials};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// An agent without a cache.
async fn agent() -> Agent {
    let options = AgentOptions { retention: Duration::ZERO, ..AgentOptions::default() };
    Agent::start(Credentials::new(), options).await.unwrap()
}

async fn ask(agent: &Agent, token: Option<&str>, host: Option<&str>) -> Got {
    let uri = agent.uri();
    let (address, target) = split(&uri);
    let token = token.map(|token| format!("Authorization: {token}\r\n")).unwrap_or_default();
    let host = host.unwrap_or(address);
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{token}Connection: close\r\n\r\n");
    exchange(address, &[request.as_bytes()]).await
}

#[tokio::test]
async fn every_request_with_the_token_gets_new_credentials() {
    let agent = agent().await;
    agent.set_lifetime(Duration::from_mins(15));
    let token = std::fs::read_to_string(agent.token_file()).unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let answer = ask(&agent, Some(&token), None).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        assert!(text("AccessKeyId").starts_with("ASIA") && text("AccessKeyId").len() == 20);
        assert_eq!((text("SecretAccessKey").len(), text("AccountId").len()), (40, 12));
        let expires = humantime::parse_rfc3339(&text("Expiration")).unwrap();
        let left = expires.duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_secs(880) && left <= Duration::from_secs(901));
        assert!(agent.secrets().contains(&text("Token")));
        keys.push(text("AccessKeyId"));
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!((agent.requests(), agent.issued().len()), (2, 2));
    assert!(agent.secrets().contains(&token));
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
    for (token, text) in [
        (None, "Service account token cannot be empty"),
        (Some("nonsense"), "Service account token cannot be parsed"),
        (
            Some(expired.as_str()),
            "Service account token failed basic claim validations: token is expired",
        ),
        (
            Some(&early),
            "Service account token failed basic claim validations: token is not valid yet",
        ),
        (Some(&elsewhere), "(InvalidTokenException)"),
        (Some(&stranger), "(InvalidTokenException)"),
        (Some(&forged), "(InvalidTokenException)"),
    ] {
        let answer = ask(&agent, token, None).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains(text), "{text}: {}", answer.text());
    }
    assert!(agent.issued().is_empty());
}

#[tokio::test]
async fn only_requests_to_the_addresses_of_the_agent_are_answered() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    for host in ["169.254.170.23", "169.254.170.23:80", "[fd00:ec2::23]"] {
        assert_eq!(ask(&agent, Some(&token), Some(host)).await.status(), 200);
    }
    let refused = ask(&agent, Some(&token), Some("evil.example")).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.text().starts_with("Access Denied. Called agent through invalid address"));
}

#[tokio::test]
async fn a_configured_answer_replaces_the_normal_one() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    agent.set_answer(Answer::Status(500, "unable to fetch credentials from EKS Auth".to_owned()));
    let answer = ask(&agent, Some(&token), None).await;
    assert_eq!((answer.status(), answer.text().contains("EKS Auth")), (500, true));
    agent.set_answer(Answer::CloseConnection);
    assert!(ask(&agent, Some(&token), None).await.head.is_empty());
    agent.set_answer(Answer::Hang);
    let asked = ask(&agent, Some(&token), None);
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    agent.set_answer(Answer::Normal);
    assert_eq!(ask(&agent, Some(&token), None).await.status(), 200);
}

#[tokio::test]
async fn a_busy_agent_answers_as_its_rate_limiter_does() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    agent.set_answer(Answer::Busy);
    let answer = ask(&agent, Some(&token), None).await;
    assert_eq!((answer.status(), answer.text().as_str()), (429, "Too Many Requests\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(agent.refusals(), ["429 Too Many Requests"]);
    assert!(agent.issued().is_empty());
}

/// Sends so many requests at once on one connection, and returns the statuses
/// of the answers.
fn burst(uri: &str, count: usize) -> Vec<u16> {
    let (address, target) = split(uri);
    let mut stream = net::TcpStream::connect(address).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let last = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut writing = stream.try_clone().unwrap();
    let all = request.repeat(count - 1) + &last;
    let writer = std::thread::spawn(move || writing.write_all(all.as_bytes()));
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writer.join().unwrap().unwrap();
    let statuses = answers.split("HTTP/1.1 ").skip(1);
    statuses.map(|answer| answer[..3].parse().unwrap()).collect()
}

/// Of a burst, how many requests the limiter let through to the check of their
/// missing token, and how many it refused.
async fn let_through(uri: &str, count: usize) -> (usize, usize) {
    let uri = uri.to_owned();
    // The clock stands still as long as this task runs.
    let statuses = tokio::task::spawn_blocking(move || burst(&uri, count)).await.unwrap();
    assert_eq!(statuses.len(), count);
    let of = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    (of(400), of(429))
}

#[tokio::test(start_paused = true)]
async fn the_limiter_lets_bursts_of_500_through_and_1000_requests_a_second() {
    let agent = agent().await;
    let uri = agent.uri();
    assert_eq!(let_through(&uri, 800).await, (500, 300));
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(let_through(&uri, 300).await, (100, 200));
    assert!(agent.refusals().iter().any(|refusal| refusal == "429 Too Many Requests"));
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(let_through(&uri, 501).await, (500, 1));
}

#[tokio::test]
async fn denials_are_relayed_with_the_services_text() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    let node = "arn:aws:sts::123456789012:assumed-role/node/i-0123456789abcdef0";
    let first = "arn:aws:sts::123456789012:assumed-role/demo/eks-demo-demo-1";
    let target = "arn:aws:iam::210987654321:role/target";
    let cluster = "arn:aws:eks:us-east-1:123456789012:cluster/demo";
    for (answer, text) in [
        (
            Answer::trust_denied(),
            "Unauthorized Exception! EKS does not have permissions to assume the associated role."
                .to_owned(),
        ),
        (
            Answer::node_role_denied(node),
            format!(
                "User: {node} is not authorized to perform: eks-auth:AssumeRoleForPodIdentity on resource: {cluster}"
            ),
        ),
        (
            Answer::target_role_denied(first, "sts:TagSession", target, None),
            format!(
                "User: {first} is not authorized to perform: sts:TagSession on resource: {target}"
            ),
        ),
    ] {
        agent.set_answer(answer);
        let got = ask(&agent, Some(&token), None).await;
        assert_eq!(got.status(), 400);
        let got = got.text();
        let (id, rest) = got.split_once("]: ").unwrap();
        assert!(id.starts_with('[') && id.len() == 37, "{got}");
        assert_eq!(rest, format!("(AccessDeniedException): {text}, fault: client\n"));
    }
    assert!(agent.issued().is_empty());
}

#[tokio::test]
async fn a_closed_agent_refuses_connections_until_it_is_opened() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    let uri = agent.uri();
    let (address, _) = split(&uri);
    for _ in 0..2 {
        let mut open = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&agent, Some(&token), None).await.status(), 200);
        assert_eq!(agent.open().await.unwrap_err().kind(), ErrorKind::AddrInUse);
        agent.close();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // The connection ends, with or without a reset.
        let ended = tokio::time::timeout(Duration::from_secs(10), open.read(&mut [0])).await;
        assert_eq!(ended.expect("the connection ends").unwrap_or(0), 0);
        agent.close();
        agent.open().await.unwrap();
        assert_eq!(agent.uri(), uri);
        assert_eq!(ask(&agent, Some(&token), None).await.status(), 200);
    }
    assert_eq!(agent.requests(), 4);
}

#[tokio::test]
async fn without_an_association_there_are_no_credentials() {
    let agent = agent().await;
    let token = agent.mint_token(|_| {});
    agent.dissociate("demo", "demo");
    let refused = ask(&agent, Some(&token), None).await;
    assert_eq!(refused.status(), 404);
    let text = refused.text();
    assert!(text.contains("]: (ResourceNotFoundException): No association found"), "{text}");
    assert!(text.ends_with(", fault: client\n"), "{text}");
    assert!(agent.issued().is_empty());
    assert!(agent.refusals()[0].starts_with("404 ["), "{:?}", agent.refusals());

    agent.associate("demo", "demo");
    assert_eq!(ask(&agent, Some(&token), None).await.status(), 200);
    let other = agent.mint_token(|claims| {
        claims.kubernetes.namespace = "other".to_owned();
        claims.sub = "system:serviceaccount:other:demo".to_owned();
    });
    assert_eq!(ask(&agent, Some(&other), None).await.status(), 404);
    agent.associate("other", "demo");
    assert_eq!(ask(&agent, Some(&other), None).await.status(), 200);
    let session = agent.issued()[0].arn();
    let prefix = "arn:aws:sts::123456789012:assumed-role/demo/eks-demo-demo-";
    assert!(session.starts_with(prefix), "{session}");
}
