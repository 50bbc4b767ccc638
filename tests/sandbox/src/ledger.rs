//! What the image host was asked for, and what it gave.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::body::Digests;
use crate::picture::Kind;

/// A request that reached the image host.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Path and query, as they came.
    pub target: String,
    /// Names in lower case, values as text, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// When its head had been read.
    pub at: Instant,
}

impl Arrival {
    /// The value of the first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }
}

/// A picture body that the image host sent, or began to send.
#[derive(Clone, Debug)]
pub struct Served {
    /// Path and query of the request.
    pub target: String,
    /// What the picture is, whatever Content-Type was claimed.
    pub kind: Kind,
    /// Bytes of it that were sent.
    pub len: u64,
    /// Of those bytes, in hexadecimal; empty with `digest=none` and, unless
    /// `digest=sha256` asks for it, with bodies of more than 16 MiB.
    pub sha256: String,
    /// Of those bytes (the CRC of zip and gzip, which S3 calls CRC32).
    pub crc32: u32,
    /// Every byte was written and the framing was honest about it.
    pub whole: bool,
}

/// The record, shared by the connections.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    arrivals: Vec<Arrival>,
    seen: HashMap<String, u64>,
    served: Vec<Served>,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request, and says the how-manieth it is of its target (from 1).
    pub(crate) fn arrived(&self, arrival: Arrival) -> u64 {
        let mut entries = self.entries();
        let seen = entries.seen.entry(arrival.target.clone()).or_default();
        *seen += 1;
        let seen = *seen;
        entries.arrivals.push(arrival);
        seen
    }

    /// Enters a body just before its last bytes are written: a client that
    /// has them all finds the entry.
    pub(crate) fn serving(
        &self,
        target: &str,
        kind: Kind,
        len: u64,
        sums: Digests,
        whole: bool,
    ) -> usize {
        let Digests { sha256, crc32 } = sums;
        let mut entries = self.entries();
        entries.served.push(Served { target: target.to_owned(), kind, len, sha256, crc32, whole });
        entries.served.len() - 1
    }

    /// The last bytes of that body could not be written after all.
    pub(crate) fn broke(&self, entry: usize) {
        if let Some(served) = self.entries().served.get_mut(entry) {
            served.whole = false;
        }
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.entries().arrivals.clone()
    }

    pub(crate) fn served(&self) -> Vec<Served> {
        self.entries().served.clone()
    }
}
