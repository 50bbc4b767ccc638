//! A set of credentials in use, and when it needs a successor.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::time::Instant;

use super::principal::Principal;

/// The longest time before expiry at which a refresh begins; for short-lived credentials it is a
/// third of their lifetime.
const EARLY: Duration = Duration::from_mins(15);

/// Credentials in use.
pub(super) struct CachedCredentials {
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
    pub(super) refresh_at_wall_clock: Option<SystemTime>,
    ends_at: Instant,
}

impl CachedCredentials {
    /// If by this machine's clock they have expired on arrival, the clock is wrong or their source gives old
    /// ones; they are used for the time `if_expired`, because asking for others at once would not help.
    pub(super) fn new(
        credentials: Credentials,
        principal: Principal,
        now: SystemTime,
        if_expired: Duration,
    ) -> Self {
        let lifetime = credentials.expiry().map(|expiry| {
            let left = expiry.duration_since(now).unwrap_or_default();
            if left.is_zero() {
                let ends_at = Instant::now() + if_expired;
                return Lifetime { refresh_at: ends_at, refresh_at_wall_clock: None, ends_at };
            }
            let early = (left / 3).min(EARLY).mul_f64(0.75 + fastrand::f64() / 2.0);
            let start = Instant::now();
            Lifetime {
                refresh_at: start + left.saturating_sub(early),
                refresh_at_wall_clock: Some(expiry - early),
                ends_at: start + left,
            }
        });
        Self { credentials, principal, since: now, lifetime }
    }

    pub(super) fn refresh_due(&self) -> Option<SystemTime> {
        self.lifetime.as_ref()?.refresh_at_wall_clock
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| Instant::now() >= lifetime.ends_at)
    }

    /// By either clock: the monotonic one stands still while a machine is suspended.
    pub(super) fn needs_refresh(&self, now: SystemTime) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| {
            Instant::now() >= lifetime.refresh_at
                || lifetime.refresh_at_wall_clock.is_some_and(|time| now >= time)
        })
    }

    /// Whether they had expired when they arrived, by this machine's clock.
    pub(super) fn came_expired(&self) -> bool {
        self.lifetime.as_ref().is_some_and(|lifetime| lifetime.refresh_at_wall_clock.is_none())
    }
}
