//! Tests the local run, `scripts/local.sh`, as a user starts it.

use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// `scripts/local.sh`, started in another folder and, as in a terminal, in its own process group.
fn local(arguments: &str) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/local.sh");
    let mut command = Command::new(script);
    command
        .args(arguments.split_whitespace())
        .current_dir(std::env::temp_dir())
        // The local run must neither use nor print the user's own AWS settings.
        .env("AWS_ACCESS_KEY_ID", "AKIDLAPTOP")
        .env("AWS_SECRET_ACCESS_KEY", "laptop-secret")
        .env("AWS_PROFILE", "work")
        .env("RUST_LOG", "info")
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    // Cargo sets these for tests. The script's own cargo would compile half of the dependencies again
    // because of them, and the next `cargo test` once more.
    let from_cargo = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
            || ["GIT_COMMIT", "OUT_DIR"].contains(&name)
    };
    for (name, _) in std::env::vars().filter(|(name, _)| from_cargo(name)) {
        command.env_remove(name);
    }
    command
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// The folder that contains the objects, according to the output of the local run.
fn folder(said: &str) -> std::path::PathBuf {
    let line = said.lines().find_map(|line| line.strip_prefix("objects in")).expect(said);
    line.trim().into()
}

/// The number of files in a folder and its subfolders.
fn pictures(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { pictures(&entry.path()) } else { 1 }).sum()
}

#[tokio::test]
async fn the_local_run_stores_the_requested_number_of_pictures() {
    let output = local("--count 5 --interval 50ms").output().await.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=/",
        "AWS_REGION=us-east-1",
        "AWS_STS_REGIONAL_ENDPOINTS=regional",
    ] {
        assert!(said.contains(name), "{name} is missing from\n{said}");
    }
    assert!(!said.contains("AKIDLAPTOP") && !said.contains("laptop-secret"), "{said}");
    let folder = folder(&said);
    assert_eq!(pictures(&folder), 5, "{}", folder.display());
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

#[tokio::test]
async fn ctrl_c_ends_the_local_run_cleanly() {
    let mut command = local("--interval 50ms");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let group = i32::try_from(child.id().expect("it runs")).expect("a process id");
    let group = Pid::from_raw(group).expect("a process id");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.expect("text") {
        let uploaded = line.contains("\"uploaded\"");
        said.push_str(&line);
        said.push('\n');
        if uploaded {
            break;
        }
    }
    kill_process_group(group, Signal::INT).expect("it can be interrupted");
    while let Some(line) = lines.next_line().await.expect("text") {
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("\"ended\""), "{said}");
    let gone = rustix::process::test_kill_process_group(group);
    assert!(gone.is_err(), "a process of the local run is still running");
    let folder = folder(&said);
    assert!(pictures(&folder) > 0);
    std::fs::remove_dir_all(folder).expect("it can be removed");
}

/// A port that something else listens on, as long as the listener is there.
fn listener(address: &str) -> Option<std::net::TcpListener> {
    std::net::TcpListener::bind(address).ok()
}

#[tokio::test]
async fn the_address_of_the_live_page_is_said_when_it_is_there() {
    let free = listener("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let page = format!("the live page, as long as the job runs: http://{free}/");
    for (arguments, expected) in [
        (format!("--listen={free}"), Some(page.as_str())),
        (format!("--listen {free}"), Some(page.as_str())),
        (String::new(), Some("the live page: see its address in the log")),
        ("--page off".to_owned(), None),
        (format!("--page=off --listen {free}"), None),
        ("--listen off".to_owned(), None),
        // The program refuses to start, so there is no page.
        (format!("--interval soon --listen {free}"), None),
    ] {
        let run = local(&format!("--count 2 --interval 1s {arguments}")).output().await;
        let said = text(&run.expect("it runs"));
        let line = said.lines().find(|line| line.starts_with("the live page"));
        assert_eq!(line, expected, "{arguments}: {said}");
    }
}

#[tokio::test]
async fn a_taken_address_that_was_asked_for_is_refused_before_the_build() {
    let taken = listener("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let mut by_variable = local("--count 1");
    by_variable.env("LISTEN_ADDR", &address);
    for mut command in [local(&format!("--listen {address}")), by_variable] {
        let output = command.output().await.expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!("{address} is taken")), "{said}");
    }
}

#[tokio::test]
async fn a_taken_default_port_is_replaced_by_a_free_one() {
    // Whoever else has the port will do as well.
    let _taken = listener("127.0.0.1:8080");
    let output = local("--count 2 --interval 1s").env_remove("LISTEN_ADDR").output().await;
    let output = output.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let first = said.lines().next().unwrap_or_default();
    let port = first.strip_prefix("port 8080 is taken, so the page will be at port ");
    let page = format!("http://127.0.0.1:{}/", port.expect(&said));
    assert!(said.contains(&format!("the live page, as long as the job runs: {page}")), "{said}");
}

#[tokio::test]
async fn the_local_run_returns_the_exit_code_of_the_program() {
    let output = local("--interval soon").output().await.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: --interval / INTERVAL"), "{said}");
}

#[tokio::test]
async fn the_local_run_with_localstack_lists_the_uploaded_objects() {
    let output = local("--localstack --count 3 --interval 50ms").output().await.expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Objects in s3://pictures"), "{said}");
    let listing = String::from_utf8_lossy(&output.stdout);
    assert_eq!(listing.lines().count(), 3, "{listing}");
}
