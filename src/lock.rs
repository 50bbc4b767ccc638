//! Locks on state that is always whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what nothing can leave half changed, because no change of it can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
