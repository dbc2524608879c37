//! Locks that go on after a panic: a thread that panics has ended by a bug, and the others still must write what they hold.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Locks the mutex, also after a thread has panicked while it held the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the condition variable is notified, or for at most `timeout`. May return without either, as all such waits.
pub fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Option<Duration>,
) -> MutexGuard<'a, T> {
    match timeout {
        None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(timeout) => {
            let (guard, _) = condvar
                .wait_timeout(guard, timeout)
                .unwrap_or_else(PoisonError::into_inner);
            guard
        }
    }
}
