//! Locks that go on after a panic: the panic has become CKR_GENERAL_ERROR, and the next call deserves an answer.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the lock and takes it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
