//! The figures: medians with their spread.

use std::time::Duration;

use serde::Serialize;

/// The median of several runs, the least and the most.
#[derive(Clone, Copy, Serialize)]
pub struct Figure {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Figure {
    /// Of at least one run.
    pub fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        let mut runs: Vec<f64> = runs.into_iter().collect();
        runs.sort_by(f64::total_cmp);
        Self { median: runs[runs.len() / 2], least: runs[0], most: runs[runs.len() - 1] }
    }
}

/// The unit of a figure, which says how it is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Milliseconds,
    Seconds,
    Mebibytes,
    Megabytes,
    PerSecond,
    Count,
    Cores,
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A process is smaller than 2^52 bytes.
#[expect(clippy::cast_precision_loss, reason = "a process is smaller than 2^52 bytes")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
