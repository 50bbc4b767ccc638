//! A running job, whose log is read while it runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use wait4::Wait4;

/// Ends when it is dropped.
pub struct Job {
    /// None once its end was waited for.
    child: Option<Child>,
    events: Receiver<Value>,
}

impl Job {
    pub fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let (send, events) = channel();
        thread::spawn(move || {
            let lines = log.lines().map_while(std::io::Result::ok);
            for event in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if send.send(event).is_err() {
                    break;
                }
            }
        });
        Self { child: Some(child), events }
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits for its end, and returns the CPU time of all its threads.
    pub fn end(mut self) -> Duration {
        let child = self.child.take().expect("it runs");
        let used = child.wait4().expect("it can be waited for");
        assert!(used.status.success(), "{}", used.status);
        used.rusage.utime + used.rusage.stime
    }

    /// The next event that `find` finds something in.
    pub fn next<T>(&self, find: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(Duration::from_mins(2)).expect("an event");
            assert_ne!(event["level"], "ERROR", "{event}");
            if let Some(found) = find(&event) {
                return found;
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}
