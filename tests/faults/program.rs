//! The running program: its output, and what it holds.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the operating system has given to the program.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub files: usize,
    pub memory: u64,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program starts");
        let lines = Arc::default();
        let readers = vec![
            collect(child.stdout.take().expect("piped"), Arc::clone(&lines)),
            collect(child.stderr.take().expect("piped"), Arc::clone(&lines)),
        ];
        Self { child, lines, readers }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    /// The lines since the last call, which are not kept.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("no panic"))
    }

    /// The log events with this message so far.
    pub fn events(&self, message: &str) -> Vec<Value> {
        events(&self.lines(), message)
    }

    pub fn uploaded(&self) -> usize {
        self.events("uploaded").len()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
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

    pub fn held(&self) -> Held {
        let proc = format!("/proc/{}", self.id().as_raw_nonzero());
        let files = std::fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count);
        let statm = std::fs::read_to_string(format!("{proc}/statm")).unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        Held { files, memory: pages * 4096 }
    }

    /// Waits until the program has ended: its exit code, or `None` after a signal, and its output.
    pub async fn end(mut self, within: Duration) -> Result<(Option<i32>, Vec<String>), String> {
        let status = tokio::time::timeout(within, self.child.wait()).await;
        if status.is_err() {
            let _ = self.child.start_kill();
        }
        for reader in self.readers {
            let _ = reader.await;
        }
        let lines = self.lines.lock().expect("no panic").clone();
        let status = status.map_err(|_| format!("it did not end within {within:?}"))?;
        Ok((status.map_err(|error| error.to_string())?.code(), lines))
    }
}

fn collect(
    from: impl AsyncRead + Unpin + Send + 'static,
    to: Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            to.lock().expect("no panic").push(line);
        }
    })
}

pub fn events(lines: &[String], message: &str) -> Vec<Value> {
    let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["message"] == message).collect()
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
