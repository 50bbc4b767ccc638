//! The program as a child process in a local world, and what it writes.

use std::fmt::Debug;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::{AgentOptions, Sandbox, SandboxOptions, guard_env};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long anything may take before a test fails for it; far longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A local world, and how the program is started in it.
pub struct World {
    pub sandbox: Sandbox,
    no_profile: NamedTempFile,
}

impl World {
    pub async fn new() -> Self {
        Self::with_lifetime(Duration::from_hours(6)).await
    }

    /// A world whose credentials last so long.
    pub async fn with_lifetime(lifetime: Duration) -> Self {
        let options = SandboxOptions {
            agent: AgentOptions { lifetime, ..AgentOptions::default() },
            ..SandboxOptions::default()
        };
        Self::with(options).await
    }

    pub async fn with(options: SandboxOptions) -> Self {
        Self {
            sandbox: Sandbox::start(options).await.expect("the sandbox starts"),
            no_profile: NamedTempFile::new().expect("an empty file"),
        }
    }

    /// The program with these words, its pictures from `target` on this world's image host.
    pub fn job(&self, target: &str, words: &str) -> Job<'_> {
        self.job_from(&self.sandbox.images.url(target), words)
    }

    /// The program with these words, its pictures from any URL.
    pub fn job_from(&self, url: &str, words: &str) -> Job<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity-demo"));
        command
            .args(words.split_whitespace())
            .env_clear()
            .envs(self.sandbox.env())
            .envs(guard_env(self.no_profile.path()))
            .env("IMAGE_URL", url)
            // Tests run beside each other; those of the server set an address of their own.
            .env("LISTEN_ADDR", "off")
            // The most that it can be made to write, so that a secret would show.
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Job { world: self, command }
    }

    /// The S3's objects, once it has noticed that connections are gone; fails the test if anything
    /// half-done stays beside them.
    pub async fn objects(&self) -> Vec<sandbox::Stored> {
        let s3 = &self.sandbox.s3;
        until("nothing half-done is left in S3", || s3.leftovers().is_empty()).await;
        s3.objects()
    }

    /// How often S3 was asked for this operation.
    pub fn s3_requests(&self, operation: &str) -> usize {
        let requests = self.sandbox.s3.requests();
        requests.iter().filter(|request| request.operation == operation).count()
    }
}

/// The program, about to be started.
pub struct Job<'w> {
    world: &'w World,
    command: Command,
}

impl<'w> Job<'w> {
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn run_by(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    pub fn start(mut self) -> Running<'w> {
        let mut child = self.command.spawn().expect("the program starts");
        let written = Arc::new(Written::default());
        let readers = vec![
            written.clone().collect(child.stdout.take().expect("piped")),
            written.clone().collect(child.stderr.take().expect("piped")),
        ];
        Running { world: self.world, child, written, readers }
    }

    /// Starts it and waits for its end.
    pub async fn finish(self) -> Finished {
        self.start().finish().await
    }
}

#[derive(Default)]
struct Written {
    lines: Mutex<Vec<String>>,
    more: Notify,
}

impl Written {
    fn collect(self: Arc<Self>, from: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Some(line) = lines.next_line().await.expect("text") {
                self.lines.lock().expect("no panic").push(line);
                self.more.notify_waiters();
            }
        })
    }
}

/// The program, running.
pub struct Running<'w> {
    world: &'w World,
    child: Child,
    written: Arc<Written>,
    readers: Vec<JoinHandle<()>>,
}

impl Running<'_> {
    /// Waits until `count` lines have been written that contain `text`.
    pub async fn wrote(&self, text: &str, count: usize) {
        let wait = async {
            loop {
                let more = self.written.more.notified();
                let lines = self.written.lines.lock().expect("no panic").clone();
                if lines.iter().filter(|line| line.contains(text)).count() >= count {
                    return;
                }
                more.await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let lines = self.written.lines.lock().expect("no panic").join("\n");
            panic!("{count} × {text:?} was not written in {PATIENCE:?}, but\n{lines}");
        }
    }

    /// Waits for the first of the log's events with this message.
    pub async fn event(&self, message: &str) -> Value {
        self.wrote(&format!("\"message\":\"{message}\""), 1).await;
        let lines = self.written.lines.lock().expect("no panic");
        let mut events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["message"] == message).expect("it was written")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(id, signal).expect("it can be signalled");
    }

    /// SIGTERM, then the end.
    pub async fn terminate(self) -> Finished {
        self.signal(rustix::process::Signal::TERM);
        self.finish().await
    }

    /// Waits for the end, and looks for secrets in all that was written.
    pub async fn finish(mut self) -> Finished {
        let status = timeout(PATIENCE, self.child.wait()).await;
        if status.is_err() {
            // What it wrote ends with it.
            self.child.start_kill().expect("it can be killed");
        }
        for reader in self.readers {
            reader.await.expect("the output can be read");
        }
        let lines = std::mem::take(&mut *self.written.lines.lock().expect("no panic"));
        for secret in self.world.sandbox.agent.secrets() {
            let leak = lines.iter().find(|line| line.contains(&secret));
            assert!(leak.is_none(), "a secret was written: {leak:?}");
        }
        let Ok(status) = status else {
            panic!("it did not end in {PATIENCE:?}, but wrote\n{}", lines.join("\n"));
        };
        let status = status.expect("it can be waited for");
        Finished { code: status.code().unwrap_or_else(|| panic!("killed: {status}")), lines }
    }
}

/// The program's exit code and all the lines that it wrote.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub lines: Vec<String>,
}

impl Finished {
    /// Fails the test unless the exit code is this.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}", self.lines.join("\n"));
        self
    }

    /// The log's events with this message.
    pub fn events(&self, message: &str) -> Vec<Value> {
        self.lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["message"] == message)
            .collect()
    }
}

/// Waits until `condition` holds, looking again and again.
pub async fn until(what: impl Debug, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "not in {PATIENCE:?}: {what:?}");
}
