//! How the program ends: the signals that ask for it, and the exit codes.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// The exit codes of the program. `docs/operations.md` says what a Kubernetes Job makes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: `--count` uploads are done, or `identity` found the required identity.
    Success,
    /// 1: the program cannot run at all, for example because it cannot start a thread.
    CannotRun,
    /// 2: a setting or an argument is unusable. clap uses the same code for unknown arguments.
    UnusableSettings,
    /// 3: the identity is not the required one, or waiting cannot fix it. In a Job with
    /// `restartPolicy: Never` this creates a new pod, which passes admission again: only that
    /// recovers from a missed injection.
    WrongIdentity,
    /// 4: credentials or access to S3 did not become available within `--startup-grace`, or waiting
    /// cannot fix what prevents the first upload (`wrong_region`, `clock_skew`): then at once.
    NotReady,
    /// 130 or 143: a signal asked for the end. The code is 128 plus the signal's number, as a shell
    /// reports it, and not 0: Kubernetes would count an evicted pod that exits with 0 as complete.
    Signalled(Signal),
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::CannotRun => 1,
            Self::UnusableSettings => 2,
            Self::WrongIdentity => 3,
            Self::NotReady => 4,
            Self::Signalled(Signal::Interrupt) => 130,
            Self::Signalled(Signal::Terminate) => 143,
        }
    }
}

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT, which Ctrl-C sends.
    Interrupt,
    /// SIGTERM, which the kubelet sends.
    Terminate,
}

/// The signals that the process receives from the moment this is created.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    /// Replaces the default action of SIGINT and SIGTERM, which is to end the process. Fails
    /// outside a Tokio runtime with a signal driver.
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}
