//! What the job reports, as it happens.

use tokio::task::Id;
use tokio::time::Instant;

use super::outcome::Outcome;
use crate::diagnosis::Diagnosis;
use crate::identity::Subject;

/// Something that happened to the job.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// There are no credentials yet, or no longer.
    Waiting(&'a Diagnosis),
    /// There are credentials.
    Running,
    /// The credentials have changed, or what the pod's token says.
    Credentials(Option<Subject>),
    /// The job is alive, and reports again before this.
    AliveUntil(Instant),
    /// The time of the next tick; `None` if that depends on the pictures in flight.
    NextTick(Option<Instant>),
    /// A picture starts, in this task.
    Started(Id),
    /// A tick was skipped, because too many pictures were in flight.
    SkippedTick,
    /// The attempt in this task has ended.
    Ended(Id, &'a Outcome),
    /// No picture starts any more.
    Ending,
    /// The program ends with this exit code.
    Exit(u8),
}
