//! `MiniStack` as a child process.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `MiniStack` of its own, started by the project's script. It ends when this
/// is dropped, and with this process however that ends: its standard input
/// closes then.
#[derive(Debug)]
pub struct MiniStack {
    endpoint: String,
    child: Child,
}

impl MiniStack {
    /// Runs the script (`scripts/dev/ministack.sh`), and blocks until `MiniStack` is
    /// healthy: two seconds, or longer when it has to be installed first.
    ///
    /// # Errors
    ///
    /// When the script cannot be run, or ends first: it has said why, then.
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

    /// The URL that all its services answer at.
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
