//! The service accounts that a role's trust policy allows.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pairs of a namespace and a service account.
#[derive(Debug, Default)]
pub(crate) struct Subjects(Mutex<BTreeSet<(String, String)>>);

impl Subjects {
    /// Creates a table with one pair.
    pub(crate) fn new(namespace: &str, service_account: &str) -> Self {
        let subjects = Self::default();
        subjects.add(namespace, service_account);
        subjects
    }

    fn pairs(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, namespace: &str, service_account: &str) {
        self.pairs().insert((namespace.to_owned(), service_account.to_owned()));
    }

    pub(crate) fn remove(&self, namespace: &str, service_account: &str) {
        self.pairs().remove(&(namespace.to_owned(), service_account.to_owned()));
    }

    pub(crate) fn has(&self, namespace: &str, service_account: &str) -> bool {
        self.pairs().contains(&(namespace.to_owned(), service_account.to_owned()))
    }
}
