//! Tests EKS Auth, its keys, and the servers as programs. What its answer is to a client of AWS's,
//! and what the emulator's IAM decides, is tested in `tests/emulator` of the project.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Answer as Got, exchange, split};
use sandbox::{
    Agent, AgentOptions, Answer, Association, Claims, Credentials, EksAuth, EksAuthOptions,
    Emulator, KeySource, Reply, Scripted,
};
use serde_json::Value;

const ISSUER: &str = "https://oidc.example/id/1";
const PATH: &str = "/clusters/demo/assume-role-for-pod-identity";

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

fn entry() -> Association {
    Association::new("demo", "demo", "arn:aws:iam::123456789012:role/app/demo")
}

async fn eks_auth(keys: KeySource) -> EksAuth {
    let options = EksAuthOptions {
        issuer: Some((ISSUER.to_owned(), keys)),
        associations: Some(vec![entry()]),
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

fn body(token: &str) -> String {
    serde_json::json!({ "token": token }).to_string()
}

async fn assume(endpoint: &str, token: &str) -> Got {
    post(endpoint, PATH, &body(token)).await
}

fn error(got: &Got) -> (u16, &str) {
    (got.status(), got.header("x-amzn-errortype").unwrap_or_default())
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
    let model = ["assumedRoleUser", "audience", "credentials", "podIdentityAssociation", "subject"];
    assert_eq!(fields, model);
    // Seconds since 1970 as a number: the default of restJson1.
    assert!(json["credentials"]["expiration"].is_u64(), "{json}");
    let arn = json["assumedRoleUser"]["arn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/demo/eks-demo-demo-"), "{arn}");
}

#[tokio::test]
async fn each_error_has_the_type_and_status_of_the_model() {
    let (eks_auth, pod) = (eks_auth(KeySource::Json(EksAuth::own_keys())).await, pod().await);
    let url = eks_auth.endpoint();
    let with = |change: fn(&mut Claims)| body(&token(&pod, change));
    let good = token(&pod, |_| {});
    let (other, bad) = (PATH.replace("demo", "other"), PATH.replace("demo", "-"));
    for (path, body, status, code) in [
        ("/clusters/demo", "{}".to_owned(), 404, "UnknownOperationException"),
        (PATH, "no JSON".to_owned(), 400, "SerializationException"),
        (PATH, "{}".to_owned(), 400, "InvalidParameterException"),
        (PATH, body("no-token"), 400, "InvalidParameterException"),
        // The cluster's name is checked before the body.
        (&bad, "no JSON".to_owned(), 400, "InvalidParameterException"),
        (&other, body(&good), 404, "ResourceNotFoundException"),
        (PATH, with(|claims| claims.exp = claims.iat - 1), 400, "ExpiredTokenException"),
        (PATH, with(|claims| claims.nbf = claims.iat + 60), 400, "InvalidTokenException"),
        (
            PATH,
            with(|claims| claims.aud = vec!["sts.amazonaws.com".to_owned()]),
            400,
            "InvalidTokenException",
        ),
        (PATH, with(|claims| claims.iss.push('2')), 400, "InvalidTokenException"),
        (PATH, with(|claims| claims.sub.push('2')), 400, "InvalidTokenException"),
        (
            PATH,
            with(|claims| claims.kubernetes.serviceaccount.name.push('2')),
            400,
            "InvalidTokenException",
        ),
        (PATH, body(&format!("{}AAAA", &good[..good.len() - 4])), 400, "InvalidTokenException"),
    ] {
        let got = post(&url, path, &body).await;
        assert_eq!(error(&got), (status, code), "{path} {body}");
        let json: Value = serde_json::from_slice(&got.body).unwrap();
        assert!(json["message"].is_string(), "{json}");
    }
    // Without an IAM, whatever is not honoured is refused; EKS itself refuses the last one.
    let (target_role_arn, policy) =
        (Some("arn:aws:iam::1:role/b".to_owned()), Some("{}".to_owned()));
    for (association, text) in [
        (Association { target_role_arn, ..entry() }, "only with the IAM"),
        (
            Association { policy: policy.clone(), disable_session_tags: true, ..entry() },
            "only with the IAM",
        ),
        (Association { policy, ..entry() }, "disableSessionTags"),
    ] {
        eks_auth.associate(association);
        let got = assume(&url, &good).await;
        assert_eq!(error(&got), (400, "InvalidRequestException"));
        assert!(got.text().contains(text), "{}", got.text());
    }
    eks_auth.set_answer(Answer::Status(429, "ThrottlingException: Rate exceeded".to_owned()));
    assert_eq!(error(&assume(&url, &good).await), (429, "ThrottlingException"));
    assert_eq!(eks_auth.refusals().len(), 17);
}

#[tokio::test]
async fn what_the_emulator_refuses_is_an_internal_error_and_its_silence_an_unavailable_service() {
    let pod = pod().await;
    let token = token(&pod, |_| {});
    let failing = Scripted::start(|_| {
        Reply::new(400, r#"{"message":"this is not what EKS Auth expects"}"#)
            .header("x-amzn-ErrorType", "InvalidParameterException")
    });
    let failing = failing.await.unwrap();
    for (emulator, expected, text) in [
        (
            failing.url(""),
            (500, "InternalServerException"),
            "InvalidParameterException: this is not what EKS Auth expects",
        ),
        ("http://127.0.0.1:1".to_owned(), (503, "ServiceUnavailableException"), "127.0.0.1:1"),
    ] {
        let options = EksAuthOptions {
            issuer: Some((ISSUER.to_owned(), KeySource::Json(EksAuth::own_keys()))),
            emulator: Some(Emulator::new(&emulator, "demo")),
            ..EksAuthOptions::default()
        };
        let eks_auth = EksAuth::start(Credentials::new(), options).await.unwrap();
        let got = assume(&eks_auth.endpoint(), &token).await;
        assert_eq!(error(&got), expected);
        assert!(got.text().contains(text), "{}", got.text());
    }
}

#[tokio::test]
async fn keys_are_fetched_with_the_bearer_token_and_again_when_they_change() {
    let keys = Arc::new(Mutex::new(r#"{"keys":[]}"#.to_owned()));
    let published = Arc::clone(&keys);
    let server = Scripted::start(move |asked| {
        let bearer = asked.headers.get("authorization").map(String::as_str);
        let is_allowed = bearer == Some("Bearer let-me-in");
        Reply::new(if is_allowed { 200 } else { 401 }, published.lock().unwrap().clone())
    });
    let server = server.await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let (url, bearer_token_file) = (server.url("/jwks"), Some(file.path().to_owned()));
    let eks_auth = eks_auth(KeySource::Url { url, bearer_token_file, ca: None }).await;
    let (url, token) = (eks_auth.endpoint(), token(&pod().await, |_| {}));
    let got = assume(&url, &token).await;
    assert_eq!(error(&got), (503, "ServiceUnavailableException"));
    assert!(got.text().contains("401"), "{}", got.text());

    std::fs::write(file.path(), "let-me-in\n").unwrap();
    // Tokens with unknown keys do not cause a request each.
    for _ in 0..2 {
        assert_eq!(error(&assume(&url, &token).await), (400, "InvalidTokenException"));
        assert_eq!(server.asked().len(), 2);
    }
    *keys.lock().unwrap() = EksAuth::own_keys();
    let again = async {
        while assume(&url, &token).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("the new keys are fetched");
    let asked = server.asked().len();
    assert_eq!(assume(&url, &token).await.status(), 200);
    assert_eq!(server.asked().len(), asked);
}

/// A server of the `sandbox` program, which is killed when this is dropped.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    url: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
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
    let entry = r#"[{"namespace": "demo", "serviceAccount": "demo", "roleArn": "arn:aws:iam::123456789012:role/demo"}]"#;
    let (associations, wrong) = (
        file("associations.json", entry),
        file("wrong.json", &entry.replace('}', r#", "targetRole": "b"}"#)),
    );
    let arguments = ["eks-auth", "--cluster", "demo", "--issuer", ISSUER, "--jwks", &keys];
    let with = |associations| [&arguments[..], &["--associations", associations]].concat();
    let mut eks_auth = Program::start(&with(&associations));
    let agent = ["agent", "--endpoint", &eks_auth.url, "--cluster-name", "demo"];
    let mut agent = Program::start(&[&agent[..], &["--accept-own-address"]].concat());
    let (address, target) = split(&agent.url);
    let token = token(&pod().await, |_| {});
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    let got = exchange(address, &[request.as_bytes()]).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let said = eks_auth.lines.next().unwrap().unwrap();
    assert!(said.contains("assumed arn:aws:sts::123456789012:assumed-role/demo/eks-"), "{said}");
    let said = agent.lines.next().unwrap().unwrap();
    assert!(said.contains("Calling EKS Auth to fetch credentials"), "{said}");

    let done = Command::new(env!("CARGO_BIN_EXE_sandbox")).args(with(&wrong)).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.starts_with("sandbox: cannot start: unknown field `targetRole`"), "{said}");
}
