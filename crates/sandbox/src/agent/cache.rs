//! The agent's cache of credentials. Lines without a file are those of
//! `internal/credsretriever/refreshing_cache.go` in `aws/eks-pod-identity-agent`
//! 0.1.37.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::bucket::Bucket;
use super::upstream::{Failure, Received};

/// The most tokens of the cache (`--max-cache-size`, `cmd/server.go:142`).
const LARGEST: usize = 2000;
/// Renewals a second (`--max-service-qps`, `cmd/server.go:144`).
const RENEWALS: u32 = 3;
/// The least time that credentials are valid when the agent hands them out
/// (`:82`).
const SHORTEST: Duration = Duration::from_secs(15);
/// After how long the agent tries to renew credentials again, and up to how
/// much longer (`:83-84`).
const RETRY: Duration = Duration::from_mins(1);
/// How often a request waits for another one with the same token, and how long
/// each time (`:77-78`).
const WAITS: u32 = 9;
const WAIT: Duration = Duration::from_millis(200);

/// Whom the cache asks: EKS Auth.
#[async_trait::async_trait]
pub(crate) trait Delegate: fmt::Debug + Send + Sync {
    async fn assume_role(&self, token: &str) -> Result<Received, Failure>;
}

#[derive(Clone, Debug)]
struct Entry {
    received: Received,
    renew_at: Instant,
    /// When it was stored, as a number that grows.
    stored: u64,
}

/// The entries, and the number of the next one.
#[derive(Debug, Default)]
struct Entries {
    by_token: HashMap<String, Entry>,
    next: u64,
}

impl Entries {
    /// Adds or replaces an entry. If there is no room, the one goes that was
    /// stored first, however often it was used since: `Get` does not touch the
    /// order (`internal/cache/expiring/cache.go:117-153,249-262`).
    fn store(&mut self, token: &str, received: Received, renew_after: Duration) {
        if self.by_token.len() >= LARGEST && !self.by_token.contains_key(token) {
            let oldest = self.by_token.iter().min_by_key(|(_, entry)| entry.stored);
            if let Some(token) = oldest.map(|(token, _)| token.clone()) {
                self.by_token.remove(&token);
            }
        }
        self.next += 1;
        let (renew_at, stored) = (Instant::now() + renew_after, self.next);
        self.by_token.insert(token.to_owned(), Entry { received, renew_at, stored });
    }
}

/// The credentials of the node's pods, by token: the token that the kubelet
/// gives to a pod after an hour or a day has an entry of its own.
#[derive(Debug)]
pub(crate) struct Cache {
    delegate: Box<dyn Delegate>,
    /// After how long credentials are renewed. Zero: there is no cache.
    retention: Duration,
    entries: Mutex<Entries>,
    /// The tokens that EKS Auth is asked for now.
    asking: Mutex<HashSet<String>>,
    renewals: Mutex<Bucket>,
}

/// Removes a token from those that are asked for, also if the client goes away.
struct Asking<'c>(&'c Cache, &'c str);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        locked(&self.0.asking).remove(self.1);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub(crate) fn new(delegate: impl Delegate + 'static, retention: Duration) -> Self {
        Self {
            delegate: Box::new(delegate),
            retention,
            entries: Mutex::default(),
            asking: Mutex::default(),
            renewals: Mutex::new(Bucket::new(RENEWALS, RENEWALS)),
        }
    }

    /// The credentials for a token from the cache, or from EKS Auth, before
    /// which it calls `asking` (`:139-192`).
    pub(crate) async fn get(&self, token: &str, asking: impl Fn()) -> Result<Received, Failure> {
        if self.retention.is_zero() {
            asking();
            return self.delegate.assume_role(token).await;
        }
        for waited in 0..=WAITS {
            let held =
                locked(&self.entries).by_token.get(token).map(|entry| entry.received.clone());
            if let Some(received) = held {
                if received.left() > SHORTEST {
                    return Ok(received);
                }
                locked(&self.entries).by_token.remove(token);
                break;
            }
            if !locked(&self.asking).contains(token) {
                break;
            }
            if waited < WAITS {
                tokio::time::sleep(WAIT).await;
            }
        }
        locked(&self.asking).insert(token.to_owned());
        let _asking = Asking(self, token);
        asking();
        self.ask(token).await
    }

    /// Asks EKS Auth, and stores the credentials (`:194-216`).
    async fn ask(&self, token: &str) -> Result<Received, Failure> {
        let received = self.delegate.assume_role(token).await.map_err(Failure::while_caching)?;
        if received.left() <= SHORTEST {
            return Err(Failure::own(format!(
                "fetched credentials are expired or will expire within the next {:.2} seconds",
                received.seconds_left()
            )));
        }
        let renew_after = received.left().min(self.retention);
        locked(&self.entries).store(token, received.clone(), renew_after);
        Ok(received)
    }

    /// Renews what is due, and then drops what has expired. The agent does this
    /// once a minute (`internal/cache/expiring/cache.go:439-477`).
    pub(crate) async fn sweep(&self, log: impl Fn(&str)) {
        let (now, time) = (Instant::now(), SystemTime::now());
        let due: Vec<(String, Received)> = {
            let entries = locked(&self.entries);
            let due = entries.by_token.iter().filter(|(_, entry)| entry.renew_at < now);
            due.map(|(token, entry)| (token.clone(), entry.received.clone())).collect()
        };
        for (token, received) in due {
            self.renew(&token, received, &log).await;
        }
        locked(&self.entries).by_token.retain(|_, entry| entry.received.expires >= time);
    }

    /// Renews the credentials of one token (`:241-284`).
    async fn renew(&self, token: &str, old: Received, log: impl Fn(&str)) {
        // Allow and then Wait, as the agent does: each takes a token of the bucket.
        let wait = {
            let mut renewals = locked(&self.renewals);
            renewals.allow().then(|| renewals.reserve())
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
            match self.ask(token).await {
                Ok(_) => return,
                Err(failure) if failure.is_final => {
                    let reason = failure.reason;
                    log(&format!(
                        "Removing credentials from cache, got non recoverable error: {reason}"
                    ));
                    locked(&self.entries).by_token.remove(token);
                    return;
                }
                Err(failure) => {
                    let reason = failure.reason;
                    log(&format!(
                        "Could not renew, will try to keep existing creds. Error is recoverable: {reason}"
                    ));
                }
            }
        } else {
            log("Rate limited! Will try to keep creds locally");
        }
        let left = old.left();
        if left > SHORTEST {
            let again = RETRY.mul_f64(1.0 + fastrand::f64());
            locked(&self.entries).store(token, old, left.min(again));
        } else {
            log("Evicting credentials since they are too old");
        }
    }
}

#[cfg(test)]
mod tests;
