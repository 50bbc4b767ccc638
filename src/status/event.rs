//! What the job reports, as it happens.

use std::fmt::Debug;

use tokio::time::Instant;

use super::outcome::Outcome;
use crate::identity::Diagnosis;

/// Something that happened to the job.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// There are no credentials yet, or no longer.
    Waiting(&'a Diagnosis),
    /// There are credentials.
    Running,
    /// No picture starts any more.
    Ending,
    /// So many pictures are in flight.
    InFlight(usize),
    /// The next picture starts then; `None` if that depends on those in flight.
    NextTick(Option<Instant>),
    /// A tick was skipped, because too many pictures were in flight.
    SkippedTick,
    /// An attempt to upload a picture came to its end.
    Ended(&'a Outcome),
}

/// Gets to know of each event in the job's own time, so it must be quick.
pub(crate) trait Observer: Debug + Send + Sync {
    fn observe(&self, event: &Event<'_>);
}
