//! Locks and signals that go on after a panic: a thread that panics has ended by a bug, and the others must still write what
//! they hold.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

/// Locks the mutex, also after a thread has panicked while it held the lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A condition variable that costs no system call while no thread waits.
#[derive(Debug, Default)]
pub struct Signal {
    condvar: Condvar,
    /// Changed only under the lock whose state the signal is about, so [`notify`](Self::notify) misses no thread.
    waiting: AtomicUsize,
}

impl Signal {
    /// Waits for a notification, at most until `deadline`. May return without either, as all such waits.
    pub fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Relaxed);
        let guard = match deadline {
            None => self
                .condvar
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let timeout = deadline.saturating_duration_since(Instant::now());
                self.condvar
                    .wait_timeout(guard, timeout)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        self.waiting.fetch_sub(1, Relaxed);
        guard
    }

    /// Wakes all threads that wait. Call it after the state has changed, under its lock or later.
    pub fn notify(&self) {
        if self.waiting.load(Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }
}
