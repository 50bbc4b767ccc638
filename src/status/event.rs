//! What the job reports, as it happens.

use std::fmt::Debug;

use tokio::time::Instant;

use super::outcome::Outcome;
use crate::diagnosis::Diagnosis;

/// Something that happened to the job.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// There are no credentials yet, or no longer.
    Waiting(&'a Diagnosis),
    /// There are credentials.
    Running,
    /// No picture starts any more.
    Ending,
    /// The number of pictures in flight.
    InFlight(usize),
    /// The time of the next tick; `None` if that depends on the pictures in flight.
    NextTick(Option<Instant>),
    /// A tick was skipped, because too many pictures were in flight.
    SkippedTick,
    /// An attempt to upload a picture has ended.
    Ended(&'a Outcome),
}

/// Receives each event synchronously, so it must return quickly.
pub(crate) trait Observer: Debug + Send + Sync {
    fn observe(&self, event: &Event<'_>);
}
