//! How long to wait between attempts: exponential backoff with jitter, the same everywhere.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// No pause is shorter: a server that refuses at once must not be asked in a tight loop.
const SHORTEST: Duration = Duration::from_millis(10);

/// Pauses that double from `first` to `longest`, without end, each with full jitter: anything
/// between (almost) nothing and the pause itself. Whoever uses it decides when to give up.
///
/// Full jitter spreads clients that failed at the same moment best:
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// The pauses of a [`Backoff`].
pub(crate) type Pauses = std::iter::Map<ExponentialBackoff, fn(Duration) -> Duration>;

impl BackoffBuilder for Backoff {
    type Backoff = Pauses;

    fn build(self) -> Pauses {
        ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .without_max_times()
            .build()
            .map(|longest| longest.mul_f64(fastrand::f64()).max(SHORTEST))
    }
}
