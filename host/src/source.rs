//! Where events come from. A source brings records in batches and knows nothing of what happens to them.

pub mod ebpf;
pub mod replay;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::{event::Record, stats::Stats};

/// Most records in one batch.
pub const MAX_BATCH: usize = 256;

/// A source of events.
pub trait Source: Send {
    /// Waits for records and appends at most `max` of them to `batch`; may append none. Returns when there are some, when `stop` is set, or when the source has ended. Adds to `seen`, `lost_kernel` and `malformed`.
    ///
    /// After `stop` is set it goes on returning what has happened until then, and [`Next::End`] at last.
    ///
    /// # Errors
    /// When the source can't be read any more.
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next>;

    /// The next call returns by then, even with nothing: only sources that wait for others need to care.
    fn wake_by(&mut self, _at: Option<Instant>) {}
}

/// Whether a source has more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Ask again.
    More,
    /// That was all.
    End,
}

/// Asks a source to end, from any thread; a file descriptor wakes one that waits.
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
    pub(crate) fn take(&self) -> bool {
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
