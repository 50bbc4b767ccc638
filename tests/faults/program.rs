//! The running program: its output, and what it holds.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long an event may take on a machine that has much else to do. The longest is an answer of S3
/// that never comes: two minutes.
pub const TIMEOUT: Duration = Duration::from_mins(4);

/// The log event of a refresh of credentials that failed.
pub const REFRESH_FAILED: &str = "credentials could not be refreshed; those in use are still valid";

pub struct Program {
    child: Child,
    output: Arc<Mutex<Output>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the program has written.
#[derive(Clone, Default)]
pub struct Output {
    pub lines: Vec<String>,
    /// The lines for people: all but those of the levels `DEBUG` and `TRACE`.
    pub events: Vec<Value>,
}

impl Output {
    fn add(&mut self, line: String) {
        let for_people =
            ["INFO", "WARN", "ERROR"].iter().any(|level| line.contains(&format!("\"{level}\"")));
        if for_people && let Ok(event) = serde_json::from_str(&line) {
            self.events.push(event);
        }
        self.lines.push(line);
    }

    /// The events with this message.
    pub fn events(&self, message: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["message"] == message)
    }
}

/// What the operating system has given to the program.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub files: usize,
    pub memory: u64,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program starts");
        let output = Arc::default();
        let readers = vec![
            collect(child.stdout.take().expect("piped"), Arc::clone(&output)),
            collect(child.stderr.take().expect("piped"), Arc::clone(&output)),
        ];
        Self { child, output, readers }
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Value> {
        self.output.lock().expect("no panic").events.clone()
    }

    /// The lines since the last call, which are not kept.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.output.lock().expect("no panic")).lines
    }

    pub fn uploaded(&self) -> usize {
        self.output.lock().expect("no panic").events("uploaded").count()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// How it ended, if it did. Then all of its output has been read.
    pub async fn status(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        for reader in self.readers.drain(..) {
            let _ = reader.await;
        }
        Some(status)
    }

    fn id(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        Pid::from_raw(id).expect("a process id")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("it can be signalled");
    }

    /// Limits the number of its open files: to those that it has, or not any more.
    pub fn limit_files(&self, limited: bool) {
        let current = if limited { Some(3) } else { Some(1024) };
        let limit = Rlimit { current, maximum: Some(1024) };
        prlimit(Some(self.id()), Resource::Nofile, limit).expect("a limit");
    }

    pub fn usage(&self) -> Usage {
        let proc = format!("/proc/{}", self.id().as_raw_nonzero());
        let files = std::fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count);
        let statm = std::fs::read_to_string(format!("{proc}/statm")).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        Usage { files, memory: pages * 4096 }
    }

    /// Forgets the peak of its memory so far.
    pub fn reset_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.id().as_raw_nonzero());
        std::fs::write(file, "5").expect("the peak can be reset");
    }

    /// The most memory that it has had at a time since then, in bytes.
    pub fn peak(&self) -> u64 {
        let file = format!("/proc/{}/status", self.id().as_raw_nonzero());
        let status = std::fs::read_to_string(file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
    }

    /// Waits until the program has ended: its exit code, or `None` after a signal, and its output.
    pub async fn end(mut self, within: Duration) -> Result<(Option<i32>, Output), String> {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        if status.is_err() {
            let _ = self.child.start_kill();
        }
        for reader in self.readers {
            let _ = reader.await;
        }
        let output = std::mem::take(&mut *self.output.lock().expect("no panic"));
        let status = status.map_err(|_| format!("it did not end within {within:?}"))?;
        Ok((status.map_err(|error| error.to_string())?.code(), output))
    }
}

fn collect(
    from: impl AsyncRead + Unpin + Send + 'static,
    to: Arc<Mutex<Output>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            to.lock().expect("no panic").add(line);
        }
    })
}

/// Waits until `condition` holds, by checking it repeatedly.
pub async fn until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<(), String> {
    let end = Instant::now() + within;
    while !condition() {
        if Instant::now() > end {
            return Err(format!("not within {within:?}: {what}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What the log names as the cause of a failure: of an image host's the reason, of others the diagnosis.
pub fn cause(event: &Value) -> Option<&str> {
    match event["reason"].as_str() {
        None | Some("s3" | "credentials") => event["diagnosis"].as_str(),
        reason => reason,
    }
}
