//! Plugins whose files or tables have changed, made ready beside those that run, which know nothing of it until they are replaced
//! between two batches. Settings stay those of the start.
//!
//! What can't be used changes nothing: the old one goes on.

use std::{
    io::{self, ErrorKind},
    iter, mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use jiff::Timestamp;

use super::{Digest, Loader, Reason, Spec, imports::Kept, load, runner::Runner};
use lightmon_event::escape::printable;
use lightmon_event::{Notice, Stats};
use lightmon_thread::privileges;

/// Why to look at the files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReloadReason {
    /// A user wants it, and to know what came of it.
    Requested,
    /// Something has happened to the files, perhaps nothing of importance.
    FileChanged,
}

/// Looks after the files of a chain.
pub struct Reload {
    seats: Vec<ChainEntry>,
    loader: Loader,
    inbox: Arc<Replacements>,
}

/// A place in the chain.
pub(super) struct ChainEntry {
    spec: Spec,
    name: String,
    kept: Arc<Kept>,
    /// Of the file that the plugin was made of.
    digest: Digest,
    /// Whether one of its tables has changed since.
    is_stale: bool,
}

impl ChainEntry {
    pub(super) fn new(spec: Spec, name: String, digest: Digest, kept: Arc<Kept>) -> Self {
        Self {
            spec,
            name,
            kept,
            digest,
            is_stale: false,
        }
    }

    /// The plugin that its file holds now, and the file's digest; none when it and its tables are the same as before.
    fn changed(&self, loader: &Loader) -> Result<Option<(Runner, Digest)>, Reason> {
        let limit = self.spec.limits.over(&loader.limits).file;
        let bytes = load::read(&self.spec.path, limit)?;
        let digest = Digest::of(&bytes);
        if digest == self.digest && !self.is_stale {
            return Ok(None);
        }
        let load = || {
            let kept = self.kept.clone();
            Runner::load(&self.spec, self.name.clone(), &bytes, digest, loader, kept)
        };
        let guest = privileges::without("plugin-reload", load)
            .map_err(|error| Reason::Engine(error.to_string()))??;
        Ok(Some((guest, digest)))
    }
}

impl Reload {
    pub(super) fn new(seats: Vec<ChainEntry>, loader: Loader, inbox: Arc<Replacements>) -> Self {
        Self {
            seats,
            loader,
            inbox,
        }
    }

    /// The plugins' files and tables.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let specs = self.seats.iter().map(|seat| &seat.spec);
        specs.flat_map(|spec| iter::once(&*spec.path).chain(spec.tables.values().map(|it| &**it)))
    }

    /// Makes those ready whose files have changed, and says of the others why not. That may take seconds, and enters
    /// WebAssembly on threads of its own.
    pub fn run(&mut self, wish: ReloadReason) {
        let mut nothing = true;
        let changed = self.loader.tables.read_changed(|path, reason| {
            // It is about to be put there, or else a SIGHUP tells.
            if wish == ReloadReason::Requested || path.exists() {
                nothing = false;
                let file = printable(&path.to_string_lossy());
                tracing::warn!(
                    file,
                    reason,
                    "table stays what it was: its file can't be used"
                );
            }
        });
        for (place, seat) in self.seats.iter_mut().enumerate() {
            seat.is_stale |= seat.spec.tables.values().any(|it| changed.contains(it));
            match seat.changed(&self.loader) {
                Ok(Some((guest, digest))) => {
                    nothing = false;
                    (seat.digest, seat.is_stale) = (digest, false);
                    let made = modified(&seat.spec.path);
                    self.inbox.put(Replacement::Replace {
                        place,
                        guest: Box::new(guest),
                        made,
                    });
                }
                Ok(None) if wish == ReloadReason::Requested => {
                    self.inbox.put(Replacement::Enable { place })
                }
                Ok(None) => {}
                // It is about to be put there, or else a SIGHUP tells.
                Err(Reason::Read(error))
                    if wish == ReloadReason::FileChanged && error.kind() == ErrorKind::NotFound => {
                }
                Err(reason) => {
                    nothing = false;
                    tracing::warn!(plugin = %seat.name, %reason, "plugin stays what it was: its file can't be used");
                }
            }
        }
        if nothing && wish == ReloadReason::Requested {
            tracing::info!("plugins stay what they were: none of their files has changed");
        }
    }
}

/// Something to be done between two batches.
pub(super) enum Replacement {
    Replace {
        place: usize,
        guest: Box<Runner>,
        /// When its file was made.
        made: Option<Timestamp>,
    },
    Enable {
        place: usize,
    },
}

impl Replacement {
    /// Gives the last words of a plugin that goes.
    pub(super) fn apply(self, guests: &mut [Runner], now: Timestamp, stats: &Stats) -> Vec<Notice> {
        match self {
            Self::Replace { place, guest, made } => {
                let made = made.map_or_else(|| "now".to_owned(), |made| format!("{made:.0}"));
                tracing::info!(
                    plugin = guest.name(),
                    "plugin replaced by its file of {made}"
                );
                mem::replace(&mut guests[place], *guest).stop(now, &stats.plugins[place])
            }
            Self::Enable { place } => {
                if guests[place].enable() {
                    tracing::info!(plugin = guests[place].name(), "plugin enabled again");
                }
                Vec::new()
            }
        }
    }
}

/// What waits for the end of a batch.
#[derive(Default)]
pub(super) struct Replacements(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    swaps: Vec<Replacement>,
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Replacements {
    pub(super) fn wake_with(&self, wake: Box<dyn Fn() + Send>) {
        self.lock().wake = Some(wake);
    }

    pub(super) fn take(&self) -> Vec<Replacement> {
        mem::take(&mut self.lock().swaps)
    }

    fn put(&self, swap: Replacement) {
        let mut waiting = self.lock();
        waiting.swaps.push(swap);
        if let Some(wake) = &waiting.wake {
            wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = || -> io::Result<SystemTime> { path.metadata()?.modified() };
    Timestamp::try_from(modified().ok()?).ok()
}
