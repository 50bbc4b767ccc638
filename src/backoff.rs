//! How long to wait between attempts: exponential backoff with jitter, the same everywhere.

use std::iter::Map;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// No pause is shorter: a server that refuses at once must not be asked in a tight loop.
const SHORTEST: Duration = Duration::from_millis(10);

pub(crate) type Pauses = Map<ExponentialBackoff, fn(Duration) -> Duration>;

/// An endless series of pauses that double from `first` to `longest`, each with full jitter: a random
/// time between [`SHORTEST`] and the pause itself. The caller decides when to give up.
///
/// Full jitter spreads clients that failed at the same moment best:
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
pub(crate) fn pauses(first: Duration, longest: Duration) -> Pauses {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .without_max_times()
        .build()
        .map(|longest| longest.mul_f64(fastrand::f64()).max(SHORTEST))
}
