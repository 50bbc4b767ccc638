//! Tests EKS Auth's keys, the agent's cache in front of it, and both as programs.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Answer as Got, exchange, split, until};
use sandbox::{
    Agent, AgentOptions, AgentProxy, AgentProxyOptions, Answer, Association, Claims, Credentials,
    EksAuth, EksAuthOptions, KeySource,
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
    let renamed = token(&pod, |claims| claims.kubernetes.serviceaccount.name = "other".to_owned());
    for (path, body, status, error) in [
        ("/clusters/demo", "{}", 404, "UnknownOperationException"),
        (path, "no JSON", 400, "SerializationException"),
        (path, "{}", 400, "InvalidParameterException"),
        ("/clusters/-/assume-role-for-pod-identity", "{}", 400, "InvalidParameterException"),
        (path, &format!("{{\"token\":\"{renamed}\"}}"), 400, "InvalidTokenException"),
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

/// An API server that publishes keys to the bearer of a token.
struct KeyServer {
    url: String,
    keys: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
        let (keys, requests) = (Arc::new(Mutex::new(keys.to_owned())), Arc::default());
        let (shared, counted) = (Arc::clone(&keys), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted: &AtomicUsize = &counted;
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
                let body = shared.lock().unwrap().clone();
                let allowed = head.contains("authorization: bearer let-me-in\r\n");
                let status = if allowed { "200 OK" } else { "401 Unauthorized" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, keys, requests }
    }
}

#[tokio::test]
async fn keys_are_fetched_with_the_bearer_token_and_again_when_they_change() {
    let server = KeyServer::start(r#"{"keys":[]}"#).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let (url, bearer_token_file) = (server.url.clone(), Some(file.path().to_owned()));
    let eks_auth = eks_auth(KeySource::Url { url, bearer_token_file, ca: None }).await;
    let pod = pod().await;
    let token = token(&pod, |_| {});
    let got = assume(&eks_auth.endpoint(), &token).await;
    assert_eq!(
        (got.status(), got.header("x-amzn-errortype")),
        (503, Some("ServiceUnavailableException"))
    );
    assert!(got.text().contains("401"), "{}", got.text());

    std::fs::write(file.path(), "let-me-in\n").unwrap();
    let got = assume(&eks_auth.endpoint(), &token).await;
    assert_eq!(got.header("x-amzn-errortype"), Some("InvalidTokenException"), "{}", got.text());
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
    // Tokens with unknown keys do not cause a request each.
    assert_eq!(assume(&eks_auth.endpoint(), &token).await.status(), 400);
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);

    *server.keys.lock().unwrap() = EksAuth::own_keys();
    let mut status = 0;
    for _ in 0..100 {
        status = assume(&eks_auth.endpoint(), &token).await.status();
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 200);
    let asked = server.requests.load(Ordering::SeqCst);
    assert_eq!(assume(&eks_auth.endpoint(), &token).await.status(), 200);
    assert_eq!(server.requests.load(Ordering::SeqCst), asked);
}

async fn agent(eks_auth: &EksAuth, change: impl FnOnce(&mut AgentProxyOptions)) -> AgentProxy {
    let mut options = AgentProxyOptions::new(&eks_auth.endpoint(), "demo");
    options.timeout = Duration::from_secs(10);
    change(&mut options);
    AgentProxy::start(options).await.unwrap()
}

/// An agent that renews credentials ten times a second.
async fn renewing_agent(eks_auth: &EksAuth) -> AgentProxy {
    agent(eks_auth, |options| {
        options.retention = Duration::from_millis(1);
        options.sweep = Duration::from_millis(100);
    })
    .await
}

#[tokio::test]
async fn the_agent_caches_by_pod_and_asks_again_for_another_token() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = agent(&eks_auth, |_| {}).await;
    let (first, rotated) = (token(&pod, |_| {}), token(&pod, |_| {}));
    let other = token(&pod, |claims| claims.kubernetes.pod.uid = "another-pod".to_owned());
    let uri = agent.uri();
    // Requests at the same time wait for the first one.
    let (one, two) = tokio::join!(credentials(&uri, &first), credentials(&uri, &first));
    assert_eq!(key(&one), key(&two));
    assert_eq!(key(&one), key(&credentials(&uri, &first).await));
    assert_eq!(eks_auth.requests(), 1);
    assert_ne!(key(&one), key(&credentials(&uri, &other).await));
    assert_eq!(eks_auth.requests(), 2);
    let again = credentials(&uri, &rotated).await;
    assert_ne!(key(&one), key(&again));
    assert_eq!(key(&again), key(&credentials(&uri, &rotated).await));
    assert_eq!(eks_auth.requests(), 3);
    // What is cached outlives the association.
    eks_auth.dissociate("demo", "demo");
    assert_eq!(credentials(&uri, &rotated).await.status(), 200);
    let refused = credentials(&uri, &first).await;
    assert_eq!(refused.status(), 404);
    let text = refused.text();
    assert!(text.contains("]: (ResourceNotFoundException): No association found"), "{text}");
}

#[tokio::test]
async fn the_agent_renews_credentials() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    let first = key(&credentials(&uri, &token).await);
    until("a renewal", || eks_auth.requests() > 2).await;
    assert_ne!(first, key(&credentials(&uri, &token).await));
}

#[tokio::test]
async fn a_renewal_that_fails_for_a_while_changes_nothing_for_the_pod() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    assert_eq!(credentials(&uri, &token).await.status(), 200);
    eks_auth.set_answer(Answer::Status(400, "InvalidRequestException: for a while".to_owned()));
    until("a refusal", || !eks_auth.refusals().is_empty()).await;
    assert_eq!(credentials(&uri, &token).await.status(), 200);
}

#[tokio::test]
async fn a_renewal_without_an_association_drops_the_credentials() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = renewing_agent(&eks_auth).await;
    let (uri, token) = (agent.uri(), token(&pod, |_| {}));
    assert_eq!(credentials(&uri, &token).await.status(), 200);
    eks_auth.dissociate("demo", "demo");
    until("a refusal", || !eks_auth.refusals().is_empty()).await;
    assert_eq!(credentials(&uri, &token).await.status(), 404);
}

#[tokio::test]
async fn credentials_of_a_few_seconds_are_not_cached_but_refused() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    eks_auth.set_lifetime(Duration::from_secs(10));
    let agent = agent(&eks_auth, |_| {}).await;
    let refused = credentials(&agent.uri(), &token(&pod, |_| {})).await;
    assert_eq!(refused.status(), 500);
    let text = refused.text();
    assert!(text.starts_with("error getting credentials to cache: fetched credentials"), "{text}");
}

#[tokio::test]
async fn an_agent_without_eks_auth_answers_with_empty_brackets() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let agent = agent(&eks_auth, |_| {}).await;
    eks_auth.close();
    let refused = credentials(&agent.uri(), &token(&pod, |_| {})).await;
    assert_eq!((refused.status(), refused.text().as_str()), (500, "[]\n"));
}

/// A server of the `sandbox` program, which is killed when this is dropped.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("a line").unwrap();
        let url = line.strip_prefix("ready ").expect("it is ready").to_owned();
        Self { child, lines, url }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn both_servers_run_as_programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let keys = file("jwks.json", &EksAuth::own_keys());
    let associations = file(
        "associations.json",
        r#"[{"namespace": "demo", "serviceAccount": "demo", "roleArn": "arn:aws:iam::123456789012:role/demo"}]"#,
    );
    let arguments = [
        "eks-auth",
        "--cluster",
        "demo",
        "--issuer",
        ISSUER,
        "--jwks",
        &keys,
        "--associations",
        &associations,
    ];
    let mut eks_auth = Program::start(&arguments);
    let mut agent =
        Program::start(&["agent", "--endpoint", &eks_auth.url, "--cluster-name", "demo"]);
    let pod = pod().await;
    let got = credentials(&agent.url, &token(&pod, |_| {})).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let said = eks_auth.lines.next().unwrap().unwrap();
    assert!(said.contains("assumed arn:aws:sts::123456789012:assumed-role/demo/eks-"), "{said}");
    let said = agent.lines.next().unwrap().unwrap();
    assert!(said.contains("Calling EKS Auth to fetch credentials"), "{said}");

    let wrong = file(
        "wrong.json",
        r#"[{"namespace": "demo", "serviceAccount": "demo", "roleArn": "a", "targetRole": "b"}]"#,
    );
    let mut arguments = arguments;
    arguments[8] = &wrong;
    let done = Command::new(env!("CARGO_BIN_EXE_sandbox")).args(arguments).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.starts_with("sandbox: cannot start: unknown field `targetRole`"), "{said}");
}
