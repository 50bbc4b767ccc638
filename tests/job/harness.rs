//! Runs the program as a child process in a sandbox, and collects its output.

use std::fmt::Debug;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
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

/// How long a test waits for an event before it fails: far longer than any event should take.
const TIMEOUT: Duration = Duration::from_mins(4);

/// The sandbox of one test, in which it starts the program.
pub struct World {
    pub sandbox: Sandbox,
    no_profile: NamedTempFile,
}

impl World {
    pub async fn new() -> Self {
        Self::with_lifetime(Duration::from_hours(6)).await
    }

    /// A world whose credentials have this lifetime.
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

    /// The program with these arguments. It fetches pictures from `target` on the image host.
    pub fn job(&self, target: &str, arguments: &str) -> Job<'_> {
        self.job_from(&self.sandbox.images.url(target), arguments)
    }

    /// The program with these arguments. It fetches pictures from `url`.
    pub fn job_from(&self, url: &str, arguments: &str) -> Job<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity-demo"));
        command
            .args(arguments.split_whitespace())
            .env_clear()
            .envs(self.sandbox.env())
            .envs(guard_env(self.no_profile.path()))
            .env("IMAGE_URL", url)
            // Tests run in parallel and cannot share a port. The tests of the server set their own
            // address.
            .env("LISTEN_ADDR", "off")
            // Log as much as possible, so that the output would contain a leaked secret.
            .env("RUST_LOG", "trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Job { world: self, command }
    }

    /// The objects in S3. Waits until S3 has cleaned up after lost connections, and fails the test
    /// if something unfinished remains.
    pub async fn objects(&self) -> Vec<sandbox::Stored> {
        let s3 = &self.sandbox.s3;
        until("nothing unfinished remains in S3", || s3.leftovers().is_empty()).await;
        s3.objects()
    }

    /// How many requests for this operation S3 has received.
    pub fn s3_requests(&self, operation: &str) -> usize {
        let requests = self.sandbox.s3.requests();
        requests.iter().filter(|request| request.operation == operation).count()
    }
}

/// The program before its start.
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

    /// Without what EKS's webhook injects for Pod Identity.
    pub fn without_pod_identity(self) -> Self {
        self.without("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    }

    /// With what the webhook injects for IRSA.
    pub fn with_irsa(mut self) -> Self {
        self.command.envs(self.world.sandbox.sts.env());
        self
    }

    pub fn run_by(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    /// Starts the program with its output on a full disk, and waits until it ends.
    pub async fn finish_on_a_full_disk(mut self) -> ExitStatus {
        let full = || File::options().write(true).open("/dev/full").expect("a device of Linux");
        self.command.stdout(full()).stderr(full());
        timeout(TIMEOUT, self.command.status()).await.expect("it ends").expect("it starts")
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

    /// Starts the program, and waits until it ends.
    pub async fn finish(self) -> Finished {
        self.start().finish().await
    }

    /// Starts the program, and ends it when an upload has failed.
    pub async fn until_failed(self) -> Finished {
        let running = self.start();
        running.wrote("upload failed", 1).await;
        running.terminate().await.expect(143)
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

/// The running program.
pub struct Running<'w> {
    world: &'w World,
    child: Child,
    written: Arc<Written>,
    readers: Vec<JoinHandle<()>>,
}

impl Running<'_> {
    /// What it has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.written.lines.lock().expect("no panic").clone()
    }

    /// Waits until the program has written at least `count` lines that contain `text`.
    pub async fn wrote(&self, text: &str, count: usize) {
        let wait = async {
            loop {
                let more = self.written.more.notified();
                if self.lines().iter().filter(|line| line.contains(text)).count() >= count {
                    return;
                }
                more.await;
            }
        };
        if timeout(TIMEOUT, wait).await.is_err() {
            let lines = self.written.lines.lock().expect("no panic").join("\n");
            panic!("{count} lines with {text:?} not within {TIMEOUT:?}; the output is\n{lines}");
        }
    }

    /// Waits for a log event with this message, and returns the first one.
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

    /// The most memory that it has had at a time, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024)
    }

    /// Sends SIGTERM, and waits until the program ends.
    pub async fn terminate(self) -> Finished {
        self.signal(rustix::process::Signal::TERM);
        self.finish().await
    }

    /// Waits until the program ends, and fails the test if its output contains a secret.
    pub async fn finish(mut self) -> Finished {
        let status = timeout(TIMEOUT, self.child.wait()).await;
        if status.is_err() {
            // The readers below finish only when the process has ended.
            self.child.start_kill().expect("it can be killed");
        }
        for reader in self.readers {
            reader.await.expect("the output can be read");
        }
        let lines = std::mem::take(&mut *self.written.lines.lock().expect("no panic"));
        let leak = self.world.sandbox.credentials.leak(&lines);
        assert!(leak.is_none(), "the program wrote a secret: {leak:?}");
        let Ok(status) = status else {
            panic!(
                "the program did not end within {TIMEOUT:?}; the output is\n{}",
                lines.join("\n")
            );
        };
        let status = status.expect("it can be waited for");
        Finished {
            code: status.code().unwrap_or_else(|| panic!("a signal ended the program: {status}")),
            lines,
        }
    }
}

/// The program's exit code and all the lines that it wrote.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub lines: Vec<String>,
}

impl Finished {
    /// Fails the test if the exit code is another one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}", self.lines.join("\n"));
        self
    }

    /// The log events with this message.
    pub fn events(&self, message: &str) -> Vec<Value> {
        self.lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["message"] == message)
            .collect()
    }
}

/// Waits until `condition` holds, by checking it repeatedly.
pub async fn until(what: impl Debug, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(TIMEOUT, wait).await.is_ok(), "not within {TIMEOUT:?}: {what:?}");
}
