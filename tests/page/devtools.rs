//! The `DevTools` protocol over a pipe: <https://chromedevtools.github.io/devtools-protocol/>.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::timeout;

/// How long the browser may take to answer: a busy machine starts it slowly.
const TIMEOUT: Duration = Duration::from_mins(4);

/// A shell gives Chromium the descriptors that it reads commands from and writes answers to.
const START: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A Chromium process, which ends when this is dropped.
pub struct DevTools {
    child: Child,
    profile: TempDir,
    input: AsyncMutex<ChildStdin>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    /// The events so far.
    events: Vec<Value>,
}

impl DevTools {
    pub fn start() -> Self {
        let profile = tempfile::Builder::new().prefix("chromium-").tempdir().expect("a folder");
        let mut command = Command::new("bash");
        command.args(["-c", START]).arg(program());
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--mute-audio",
            "--no-proxy-server",
            // A name that a hostile DNS server makes resolve to this machine.
            "--host-resolver-rules=MAP rebound.example 127.0.0.1",
        ]);
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox"); // Chromium's own does not work for root
        }
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command
            .env("TMPDIR", profile.path()) // it leaves files there
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("bash starts");
        let shared = Arc::new(Shared::default());
        let input = child.stdin.take().expect("piped").into();
        let output = child.stdout.take().expect("piped");
        let reader = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut messages = BufReader::new(output).split(0);
            while let Ok(Some(message)) = messages.next_segment().await {
                reader.read(serde_json::from_slice(&message).expect("JSON"));
            }
            // Nobody answers any more: those who wait learn it when their senders are dropped.
            reader.state.lock().expect("no panic").waiting.clear();
        });
        Self { child, profile, input, shared }
    }

    /// Sends a command to the browser, or to the tab with this session, and returns its result.
    pub async fn call(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut state = self.shared.state.lock().expect("no panic");
            state.last += 1;
            let id = state.last;
            state.waiting.insert(id, sender);
            id
        };
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.lock().await.write_all(&bytes).await.expect("the browser reads");
        let answer = timeout(TIMEOUT, receiver).await;
        let answer = answer.unwrap_or_else(|_| panic!("the browser does not answer {method}"));
        let answer = answer.unwrap_or_else(|_| panic!("the browser ended before {method}"));
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// The parameters of all events with this name so far that the tab sent.
    pub fn events(&self, session: &str, method: &str) -> Vec<Value> {
        let state = self.shared.state.lock().expect("no panic");
        let events = state.events.iter();
        let events = events.filter(|each| each["sessionId"] == session && each["method"] == method);
        events.map(|each| each["params"].clone()).collect()
    }
}

impl Drop for DevTools {
    fn drop(&mut self) {
        // Chromium's helpers write into the profile until they notice that they are alone.
        let _ = self.child.start_kill();
        for _ in 0..500 {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            if ended && std::fs::remove_dir_all(self.profile.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Shared {
    fn read(&self, message: Value) {
        let mut state = self.state.lock().expect("no panic");
        match message["id"].as_u64().and_then(|id| state.waiting.remove(&id)) {
            // Whoever asked may have been given up.
            Some(waiting) => drop(waiting.send(message)),
            None => state.events.push(message),
        }
    }
}

/// The first Chromium that there is.
fn program() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let exists = |name: &str| {
        name.contains('/') || std::env::split_paths(&path).any(|folder| folder.join(name).exists())
    };
    let given = std::env::var("CHROMIUM").ok();
    let names = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    given
        .into_iter()
        .chain(names)
        .find(|name| exists(name))
        .expect("there is no Chromium: run scripts/dev/tools.sh browser")
}
