//! A set of credentials in use, and when it needs a successor.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::time::Instant;

use super::principal::Principal;

/// The longest time before expiry at which a refresh begins; for short-lived credentials it is a
/// third of their lifetime.
const EARLY: Duration = Duration::from_mins(15);

/// How long credentials are used if, by this machine's clock, they have expired when they arrive. Then
/// the clock is wrong, and repeated requests for others would not help.
const SHORTEST_USE: Duration = Duration::from_secs(1);

/// Credentials in use.
pub(super) struct Held {
    pub(super) credentials: Credentials,
    pub(super) principal: Principal,
    /// When they arrived.
    pub(super) since: SystemTime,
    /// `None` for static credentials.
    pub(super) lifetime: Option<Lifetime>,
}

pub(super) struct Lifetime {
    /// When to refresh, by the monotonic clock and by the wall clock.
    refresh_at: Instant,
    pub(super) refresh_at_wall_clock: SystemTime,
    ends_at: Instant,
}

impl Held {
    pub(super) fn new(credentials: Credentials, principal: Principal) -> Self {
        let lifetime = credentials.expiry().map(|expiry| {
            let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
            let early = (left / 3).min(EARLY).mul_f64(0.75 + fastrand::f64() / 2.0);
            let now = Instant::now();
            Lifetime {
                refresh_at: now + left.saturating_sub(early),
                refresh_at_wall_clock: expiry - early,
                ends_at: now + if left.is_zero() { SHORTEST_USE } else { left },
            }
        });
        Self { credentials, principal, since: SystemTime::now(), lifetime }
    }

    pub(super) fn refresh_due(&self) -> Option<SystemTime> {
        self.lifetime.as_ref().map(|lifetime| lifetime.refresh_at_wall_clock)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| Instant::now() >= lifetime.ends_at)
    }

    /// By either clock: the monotonic one stands still while a machine is suspended.
    pub(super) fn needs_refresh(&self) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| {
            Instant::now() >= lifetime.refresh_at
                || SystemTime::now() >= lifetime.refresh_at_wall_clock
        })
    }
}
