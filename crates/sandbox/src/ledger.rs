//! The record of the image host's requests and answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::body::Digests;
use crate::picture::Kind;

/// A request that the image host received.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Path and query, as received.
    pub target: String,
    /// Names in lower case, values as text, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// When the request's head had been read.
    pub at: Instant,
}

impl Arrival {
    /// The value of the first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }
}

/// A picture that the image host sent in whole or in part.
#[derive(Clone, Debug)]
pub struct Served {
    /// Path and query of the request.
    pub target: String,
    /// The actual format of the picture, which the Content-Type need not match.
    pub kind: Kind,
    /// The number of bytes sent.
    pub len: u64,
    /// The SHA-256 of those bytes in hexadecimal. Empty with `digest=none`, and
    /// for bodies of more than 16 MiB without `digest=sha256`.
    pub sha256: String,
    /// The CRC32 of those bytes, as S3, zip and gzip compute it.
    pub crc32: u32,
    /// Whether every byte was written and the framing announced the true
    /// length.
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

    /// Records a request, and returns its number among the requests of the same
    /// target, from 1.
    pub(crate) fn arrived(&self, arrival: Arrival) -> u64 {
        let mut entries = self.entries();
        let seen = entries.seen.entry(arrival.target.clone()).or_default();
        *seen += 1;
        let seen = *seen;
        entries.arrivals.push(arrival);
        seen
    }

    /// Records a body just before its last bytes are written, so that the entry
    /// exists once a client has received them all.
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

    /// Records that the last bytes of that body could not be written.
    pub(crate) fn broke(&self, entry: usize) {
        if let Some(served) = self.entries().served.get_mut(entry) {
            served.whole = false;
        }
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.entries().arrivals.clone()
    }

    pub(crate) fn forget_arrivals(&self) {
        self.entries().arrivals = Vec::new();
    }

    pub(crate) fn served(&self) -> Vec<Served> {
        self.entries().served.clone()
    }
}
