//! Turns of the tests that ask much of a container runtime: it has to answer within 100 ms, which it can't when another one is asked
//! as much on the same two cores.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One at a time, until the result is dropped. A test that has failed in its turn ends it too.
pub(crate) fn wait() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
