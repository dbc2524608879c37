//! The signal by which threads are asked to end.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Asks a thread to stop, from any other; its file descriptor wakes a thread that waits in poll(2).
#[derive(Clone, Debug)]
pub struct Stop(Arc<(AtomicBool, EventFd)>);

impl Stop {
    /// Not stopped.
    ///
    /// # Errors
    /// When the kernel gives no eventfd(2).
    pub fn new() -> io::Result<Self> {
        let fd = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new((AtomicBool::new(false), fd))))
    }

    /// Stops.
    pub fn set(&self) {
        self.0.0.store(true, Relaxed);
        // Only fails when the counter is full, and then the descriptor is readable already.
        let _ = self.0.1.write(1);
    }

    /// Whether it was set since the last time that this was asked: for wishes that come again.
    pub fn take(&self) -> bool {
        let was_set = self.0.0.swap(false, Relaxed);
        // Only fails when there is nothing to read.
        let _ = self.0.1.read();
        was_set
    }

    /// Whether it was stopped.
    pub fn is_set(&self) -> bool {
        self.0.0.load(Relaxed)
    }
}

/// Readable once it is stopped.
impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.1.as_fd()
    }
}
