//! Being told to end, by SIGTERM or SIGINT.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Which signal asked the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: a person's Ctrl-C.
    Interrupt,
    /// SIGTERM: the kubelet's.
    Terminate,
}

impl Signal {
    /// 128 + the signal's number, as a shell reports it. Not 0: a Job whose pod exits 0 when it is
    /// evicted would be taken for complete.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// The process's signals, from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Takes SIGINT and SIGTERM over from the operating system's default, which is to kill.
    /// Must be called inside a Tokio runtime; fails if the runtime has no signal driver.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
