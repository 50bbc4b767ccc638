//! `MiniStack` in a child process.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `MiniStack` server that the project's script starts. It ends when this
/// value is dropped, and also when this process ends in any way, because its
/// standard input then closes.
#[derive(Debug)]
pub struct MiniStack {
    endpoint: String,
    child: Child,
}

impl MiniStack {
    /// Runs the script (`scripts/dev/ministack.sh`), and blocks until `MiniStack`
    /// is healthy. That takes two seconds, or longer if the script has to
    /// install it.
    ///
    /// # Errors
    ///
    /// The script cannot be run, or it ends early, after printing the reason.
    pub fn start(script: &Path) -> io::Result<Self> {
        let mut child = Command::new(script)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let Some(endpoint) = line.trim_end().strip_prefix("ready ") else {
            let status = child.wait()?;
            return Err(io::Error::other(format!("{} ended: {status}", script.display())));
        };
        Ok(Self { endpoint: endpoint.to_owned(), child })
    }

    /// The URL of all its services.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
