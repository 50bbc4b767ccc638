//! Tests EKS Auth and its keys, the agent's cache in front of it, and both as programs.

#[path = "../common/mod.rs"]
mod common;
mod keys;
mod programs;
mod proxy;

use common::{Answer as Got, exchange, split};
use sandbox::{
    Agent, AgentOptions, Association, Claims, Credentials, EksAuth, EksAuthOptions, Emulator,
    KeySource,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ISSUER: &str = "https://oidc.example/id/1";

/// A pod of the cluster with this issuer, whose tokens this process signs.
async fn pod() -> Agent {
    Agent::start(Credentials::new(), AgentOptions::default()).await.unwrap()
}

fn token(pod: &Agent, change: impl FnOnce(&mut Claims)) -> String {
    pod.mint_token(|claims| {
        ISSUER.clone_into(&mut claims.iss);
        change(claims);
    })
}

fn associations() -> Vec<Association> {
    vec![Association::new("demo", "demo", "arn:aws:iam::123456789012:role/app/demo")]
}

async fn eks_auth(keys: KeySource) -> EksAuth {
    let options = EksAuthOptions {
        issuer: Some((ISSUER.to_owned(), keys)),
        associations: Some(associations()),
        ..EksAuthOptions::default()
    };
    EksAuth::start(Credentials::new(), options).await.unwrap()
}

async fn post(endpoint: &str, path: &str, body: &str) -> Got {
    let (address, _) = split(endpoint);
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    exchange(address, &[request.as_bytes()]).await
}

async fn assume(endpoint: &str, token: &str) -> Got {
    let body = serde_json::json!({ "token": token }).to_string();
    post(endpoint, "/clusters/demo/assume-role-for-pod-identity", &body).await
}

/// What the agent answers to a pod.
async fn credentials(uri: &str, token: &str) -> Got {
    let (address, target) = split(uri);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    exchange(address, &[request.as_bytes()]).await
}

fn key(answer: &Got) -> String {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    json["AccessKeyId"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

#[tokio::test]
async fn the_answer_has_the_fields_of_the_model_and_a_request_id() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let got = assume(&eks_auth.endpoint(), &token(&pod, |_| {})).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("x-amzn-requestid").map(str::len), Some(36));
    let json: Value = serde_json::from_slice(&got.body).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut model =
        ["subject", "audience", "podIdentityAssociation", "assumedRoleUser", "credentials"];
    model.sort_unstable();
    assert_eq!(fields, model);
    // Seconds since 1970 as a number: the default of restJson1.
    assert!(json["credentials"]["expiration"].is_u64(), "{json}");
    let arn = json["assumedRoleUser"]["arn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/demo/eks-demo-demo-"), "{arn}");
}

#[tokio::test]
async fn errors_are_those_of_rest_json() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let url = eks_auth.endpoint();
    let path = "/clusters/demo/assume-role-for-pod-identity";
    let early = token(&pod, |claims| claims.nbf = claims.iat + 60);
    let renamed = token(&pod, |claims| claims.kubernetes.serviceaccount.name = "other".to_owned());
    for (path, body, status, error) in [
        ("/clusters/demo", "{}", 404, "UnknownOperationException"),
        (path, "no JSON", 400, "SerializationException"),
        (path, "{}", 400, "InvalidParameterException"),
        ("/clusters/-/assume-role-for-pod-identity", "{}", 400, "InvalidParameterException"),
        // The cluster's name is checked before the body.
        ("/clusters/-/assume-role-for-pod-identity", "no JSON", 400, "InvalidParameterException"),
        (path, &format!("{{\"token\":\"{renamed}\"}}"), 400, "InvalidTokenException"),
        (path, &format!("{{\"token\":\"{early}\"}}"), 400, "InvalidTokenException"),
    ] {
        let got = post(&url, path, body).await;
        assert_eq!((got.status(), got.header("x-amzn-errortype")), (status, Some(error)), "{body}");
        let json: Value = serde_json::from_slice(&got.body).unwrap();
        assert!(json["message"].is_string(), "{json}");
    }
    for association in [
        Association { target_role_arn: Some("arn:aws:iam::1:role/b".to_owned()), ..entry() },
        Association { policy: Some("{}".to_owned()), disable_session_tags: true, ..entry() },
        Association { policy: Some("{}".to_owned()), ..entry() },
    ] {
        // Without an IAM, whatever is not honoured is refused.
        eks_auth.associate(association);
        let got = assume(&url, &token(&pod, |_| {})).await;
        assert_eq!(got.header("x-amzn-errortype"), Some("InvalidRequestException"));
    }
}

fn entry() -> Association {
    associations().remove(0)
}

/// A service of AWS that answers every request with this error.
async fn failing_service(error: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = r#"{"message":"this is not what EKS Auth expects"}"#;
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nx-amzn-ErrorType: {error}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn what_the_emulator_refuses_is_an_internal_error_and_its_silence_an_unavailable_service() {
    let pod = pod().await;
    let token = token(&pod, |_| {});
    for (emulator, status, error, text) in [
        (
            failing_service("InvalidParameterException").await,
            500,
            "InternalServerException",
            "InvalidParameterException: this is not what EKS Auth expects",
        ),
        ("http://127.0.0.1:1".to_owned(), 503, "ServiceUnavailableException", "127.0.0.1:1"),
    ] {
        let options = EksAuthOptions {
            issuer: Some((ISSUER.to_owned(), KeySource::Json(EksAuth::own_keys()))),
            emulator: Some(Emulator::new(&emulator, "demo")),
            ..EksAuthOptions::default()
        };
        let eks_auth = EksAuth::start(Credentials::new(), options).await.unwrap();
        let got = assume(&eks_auth.endpoint(), &token).await;
        assert_eq!((got.status(), got.header("x-amzn-errortype")), (status, Some(error)));
        assert!(got.text().contains(text), "{}", got.text());
    }
}
