//! Tests the servers as programs.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use sandbox::EksAuth;

use crate::{ISSUER, credentials, pod, token};

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
