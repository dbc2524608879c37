//! Serialises tests that load a container runtime. A runtime must answer within 100 ms, and cannot do so if two tests load it at
//! the same time on two cores.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits for the turn of this test, which ends when the result is dropped, also if the test fails.
pub(crate) fn wait() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
