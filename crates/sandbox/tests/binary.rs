//! Tests the `sandbox` program.

mod common;

use std::process::{Command, Output};

fn sandbox(arguments: &[&str], script: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(arguments)
        .args(["--", "sh", "-c", script])
        .env("AWS_PROFILE", "mine")
        .env("https_proxy", "http://proxy.invalid")
        .env("COUNT", "3")
        .output()
        .expect("it runs")
}

#[test]
fn the_program_gets_the_sandbox_environment_and_no_aws_settings_of_the_machine() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().display().to_string();
    let output = sandbox(
        &["--root", &folder, "--bucket", "demo"],
        "env; test -r \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\" && exit 7",
    );
    assert_eq!(output.status.code(), Some(7));
    let env = String::from_utf8(output.stdout).unwrap();
    assert!(!env.contains("AWS_PROFILE=") && !env.contains("proxy.invalid"));
    assert!(env.contains("COUNT=3\n") && env.contains("S3_BUCKET_NAME=demo\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    for line in said.lines().filter(|line| line.starts_with("AWS_")) {
        assert!(env.contains(line), "printed but not set: {line}");
    }
    assert!(said.contains("# what EKS's webhook injects into a pod\nAWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:"));
    assert!(said.contains("0 objects, 0 bytes, in "), "{said}");
}

#[test]
fn a_signal_is_forwarded_and_the_exit_code_is_that_of_a_shell() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().display().to_string();
    // The shell's parent is the sandbox, which receives the signal and forwards
    // it.
    let output = sandbox(
        &["--root", &folder],
        "trap 'exit 9' TERM; kill -TERM $PPID; while :; do sleep 0.1; done",
    );
    assert_eq!(output.status.code(), Some(9));
    let output = sandbox(&["--root", &folder], "kill -KILL $$");
    assert_eq!(output.status.code(), Some(137));
    let output = sandbox(&["--root", &folder], "kill -INT $PPID; exit 4");
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_missing_program_is_reported_in_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_sandbox"))
        .args(["--s3-endpoint", "http://127.0.0.1:4566", "--", "/no/such/program"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("AWS_ENDPOINT_URL=http://127.0.0.1:4566\n"));
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("sandbox: cannot run /no/such/program: "), "{last}");
}
