//! The agent's cache of credentials (`internal/credsretriever/refreshing_cache.go`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use super::upstream::{Failure, Received, Upstream};

/// The most pods of the cache (`--max-cache-size`).
const LARGEST: usize = 2000;
/// Renewals a second (`--max-service-qps`).
const RENEWALS: u32 = 3;
/// The least time that credentials are valid when the agent hands them out.
const SHORTEST: Duration = Duration::from_secs(15);
/// After how long the agent tries to renew credentials again, and up to how
/// much longer.
const RETRY: Duration = Duration::from_mins(1);

/// A pod's credentials, and the token that they were issued for.
#[derive(Clone, Debug)]
struct Entry {
    token: String,
    received: Received,
    renew_at: Instant,
    used: Instant,
}

/// The credentials of the node's pods, by the UID of the pod.
#[derive(Debug)]
pub(crate) struct Cache {
    upstream: Upstream,
    /// After how long credentials are renewed. Zero: there is no cache.
    retention: Duration,
    entries: Mutex<HashMap<String, Entry>>,
    /// Requests of one pod wait for each other.
    asking: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    renewals: Mutex<Bucket>,
}

impl Cache {
    pub(crate) fn new(upstream: Upstream, retention: Duration) -> Self {
        Self {
            upstream,
            retention,
            entries: Mutex::default(),
            asking: Mutex::default(),
            renewals: Mutex::new(Bucket::new(RENEWALS, RENEWALS)),
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pod's credentials from the cache, or from EKS Auth, before which it
    /// calls `asking`.
    pub(crate) async fn get(
        &self,
        pod_uid: Option<&str>,
        token: &str,
        asking: impl Fn(),
    ) -> Result<Received, Failure> {
        if self.retention.is_zero() {
            asking();
            return self.upstream.assume_role(token).await;
        }
        let pod_uid = pod_uid.ok_or_else(|| {
            let why = "pod uid not found in token";
            Failure::own(format!("failed to get pod uid from service account token: {why}"))
        })?;
        let turn = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            asking.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(asking.entry(pod_uid.to_owned()).or_default())
        };
        let _turn = turn.lock().await;
        if let Some(received) = self.hit(pod_uid, token) {
            return Ok(received);
        }
        asking();
        self.ask(pod_uid, token).await
    }

    /// Cached credentials, if the pod sends the same token as before. The real
    /// agent verifies another token with the API server's keys, if it may read
    /// them, and asks EKS Auth otherwise, as here.
    fn hit(&self, pod_uid: &str, token: &str) -> Option<Received> {
        let mut entries = self.entries();
        let entry = entries.get_mut(pod_uid)?;
        if entry.received.left() <= SHORTEST {
            entries.remove(pod_uid);
            return None;
        }
        if entry.token != token {
            return None;
        }
        entry.used = Instant::now();
        Some(entry.received.clone())
    }

    async fn ask(&self, pod_uid: &str, token: &str) -> Result<Received, Failure> {
        let received = self.upstream.assume_role(token).await?;
        let left = received.left();
        if left <= SHORTEST {
            return Err(Failure::own(format!(
                "error getting credentials to cache: fetched credentials are expired or will expire within the next {:.2} seconds",
                left.as_secs_f64()
            )));
        }
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= LARGEST && !entries.contains_key(pod_uid) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(uid) = oldest.map(|(uid, _)| uid.clone()) {
                entries.remove(&uid);
            }
        }
        let renew_at = now + self.retention.min(left);
        let entry =
            Entry { token: token.to_owned(), received: received.clone(), renew_at, used: now };
        entries.insert(pod_uid.to_owned(), entry);
        Ok(received)
    }

    /// Renews what is due, and drops what has expired. The agent does this once
    /// a minute.
    pub(crate) async fn sweep(&self, log: impl Fn(&str)) {
        let now = Instant::now();
        let due: Vec<(String, Entry)> = {
            let mut entries = self.entries();
            entries.retain(|_, entry| !entry.received.left().is_zero());
            let due = entries.iter().filter(|(_, entry)| entry.renew_at <= now);
            due.map(|(uid, entry)| (uid.clone(), entry.clone())).collect()
        };
        for (uid, entry) in due {
            // Allow and then Wait, as the agent does: each takes a token.
            let wait = {
                let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
                renewals.allow().then(|| renewals.reserve())
            };
            let Some(wait) = wait else {
                log("Rate limited! Will try to keep creds locally");
                self.keep(&uid, &entry);
                continue;
            };
            tokio::time::sleep(wait).await;
            match self.ask(&uid, &entry.token).await {
                Ok(_) => {}
                Err(failure) if failure.is_final => {
                    let reason = failure.reason;
                    log(&format!(
                        "Removing credentials from cache, got non recoverable error: {reason}"
                    ));
                    self.entries().remove(&uid);
                }
                Err(failure) => {
                    let reason = failure.reason;
                    log(&format!(
                        "Could not renew, will try to keep existing creds. Error is recoverable: {reason}"
                    ));
                    self.keep(&uid, &entry);
                }
            }
        }
    }

    /// Keeps credentials whose renewal failed, and tries again later.
    fn keep(&self, uid: &str, entry: &Entry) {
        if entry.received.left() <= SHORTEST {
            self.entries().remove(uid);
        } else if let Some(entry) = self.entries().get_mut(uid) {
            entry.renew_at = Instant::now() + RETRY.mul_f64(1.0 + fastrand::f64());
        }
    }
}
