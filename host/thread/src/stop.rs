//! The signal that asks threads to end. Ends no thread itself: each looks at the signal.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Asks other threads to stop. Its file descriptor wakes a thread that waits in poll(2).
#[derive(Clone, Debug)]
pub struct Stop(Arc<(AtomicBool, EventFd)>);

impl Stop {
    /// A signal that is not set.
    ///
    /// # Errors
    /// If the kernel gives no eventfd(2).
    pub fn new() -> io::Result<Self> {
        let fd = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new((AtomicBool::new(false), fd))))
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.0.0.store(true, Relaxed);
        // Fails only if the counter is full, and then the descriptor is readable already.
        let _ = self.0.1.write(1);
    }

    /// Whether the signal was set, and resets it: for a request that can come again.
    pub fn take(&self) -> bool {
        let was_set = self.0.0.swap(false, Relaxed);
        // Fails only if there is nothing to read.
        let _ = self.0.1.read();
        was_set
    }

    /// Whether the signal is set.
    pub fn is_set(&self) -> bool {
        self.0.0.load(Relaxed)
    }
}

/// Readable while the signal is set.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.1.as_fd()
    }
}
