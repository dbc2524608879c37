//! Reloads plugins whose files or tables have changed. The new plugins are compiled and started while the old ones run, and replace
//! them between two batches. The settings stay the same.
//!
//! If a new file can't be used, the old plugin stays.

use std::{
    io::{self, ErrorKind},
    iter, mem,
    path::Path,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use jiff::Timestamp;
use lightmon_event::{Notice, Stats, escape::printable};
use lightmon_thread::{lock, privileges};

use crate::{
    error::Reason,
    file,
    imports::PluginState,
    loader::Loader,
    runner::Runner,
    spec::{Digest, Spec},
};

/// Why the files are checked for changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReloadReason {
    /// The user has requested a reload. The result is logged, even if nothing has changed.
    Requested,
    /// A file event was seen. The content may be the same.
    FileChanged,
}

/// Reloads the plugins of a chain.
pub struct Reload {
    entries: Vec<ChainEntry>,
    loader: Loader,
    replacements: Arc<Replacements>,
}

/// A plugin of the chain, and what it was loaded from.
pub(crate) struct ChainEntry {
    spec: Spec,
    name: String,
    state: Arc<PluginState>,
    /// The digest of the file that was loaded.
    digest: Digest,
    /// Whether a table of the plugin has changed since.
    is_stale: bool,
}

impl ChainEntry {
    pub(crate) fn new(spec: Spec, name: String, digest: Digest, state: Arc<PluginState>) -> Self {
        Self {
            spec,
            name,
            state,
            digest,
            is_stale: false,
        }
    }

    /// Loads the plugin again. `None` if its file and its tables have not changed.
    fn load_changed(&self, loader: &Loader) -> Result<Option<(Runner, Digest)>, Reason> {
        let limit = self.spec.limits.over(&loader.limits).file;
        let bytes = file::read(&self.spec.path, limit)?;
        let digest = Digest::of(&bytes);
        if digest == self.digest && !self.is_stale {
            return Ok(None);
        }
        let load = || {
            let state = self.state.clone();
            Runner::load(&self.spec, self.name.clone(), &bytes, digest, loader, state)
        };
        let runner = privileges::without("plugin-reload", load)
            .map_err(|error| Reason::Engine(error.to_string()))??;
        Ok(Some((runner, digest)))
    }
}

impl Reload {
    pub(crate) fn new(
        entries: Vec<ChainEntry>,
        loader: Loader,
        replacements: Arc<Replacements>,
    ) -> Self {
        Self {
            entries,
            loader,
            replacements,
        }
    }

    /// The files of the plugins and of their tables.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let specs = self.entries.iter().map(|entry| &entry.spec);
        specs.flat_map(|spec| iter::once(&*spec.path).chain(spec.tables.values().map(|it| &**it)))
    }

    /// Loads the plugins whose files or tables have changed, and logs those that can't be used. This can take seconds. WebAssembly
    /// runs on other threads.
    pub fn run(&mut self, reload_reason: ReloadReason) {
        let mut is_unchanged = true;
        let changed = self.loader.tables.read_changed(|path, reason| {
            // A missing file is probably being replaced. If not, a requested reload logs it.
            if reload_reason == ReloadReason::Requested || path.exists() {
                is_unchanged = false;
                let file = printable(&path.to_string_lossy());
                tracing::warn!(file, reason, "table not reloaded: its file can't be used");
            }
        });
        for (index, entry) in self.entries.iter_mut().enumerate() {
            entry.is_stale |= entry.spec.tables.values().any(|it| changed.contains(it));
            match entry.load_changed(&self.loader) {
                Ok(Some((runner, digest))) => {
                    is_unchanged = false;
                    (entry.digest, entry.is_stale) = (digest, false);
                    let modified = modified(&entry.spec.path);
                    self.replacements.put(Replacement::Replace {
                        index,
                        runner: Box::new(runner),
                        modified,
                    });
                }
                Ok(None) if reload_reason == ReloadReason::Requested => {
                    self.replacements.put(Replacement::Enable { index })
                }
                Ok(None) => {}
                // A missing file is probably being replaced. If not, a requested reload logs it.
                Err(Reason::Read(error))
                    if reload_reason == ReloadReason::FileChanged
                        && error.kind() == ErrorKind::NotFound => {}
                Err(reason) => {
                    is_unchanged = false;
                    tracing::warn!(plugin = %entry.name, %reason, "plugin not reloaded: its file can't be used");
                }
            }
        }
        if is_unchanged && reload_reason == ReloadReason::Requested {
            tracing::info!("plugins not reloaded: none of their files has changed");
        }
    }
}

/// A change of the chain, to be made between two batches.
pub(crate) enum Replacement {
    Replace {
        index: usize,
        runner: Box<Runner>,
        /// The modification time of the new file.
        modified: Option<Timestamp>,
    },
    /// Enables a plugin that was disabled.
    Enable { index: usize },
}

impl Replacement {
    /// Makes the change. Returns the reports of the old plugin's `stop`.
    pub(crate) fn apply(
        self,
        runners: &mut [Runner],
        now: Timestamp,
        stats: &Stats,
    ) -> Vec<Notice> {
        match self {
            Self::Replace {
                index,
                runner,
                modified,
            } => {
                let modified =
                    modified.map_or_else(|| "now".to_owned(), |time| format!("{time:.0}"));
                tracing::info!(
                    plugin = runner.name(),
                    "plugin replaced by its file of {modified}"
                );
                mem::replace(&mut runners[index], *runner).stop(now, &stats.plugins[index])
            }
            Self::Enable { index } => {
                if runners[index].enable() {
                    tracing::info!(plugin = runners[index].name(), "plugin enabled again");
                }
                Vec::new()
            }
        }
    }
}

/// The queue of replacements between the reloading thread and the chain.
#[derive(Default)]
pub(crate) struct Replacements(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    replacements: Vec<Replacement>,
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Replacements {
    pub(crate) fn wake_with(&self, wake: Box<dyn Fn() + Send>) {
        lock(&self.0).wake = Some(wake);
    }

    pub(crate) fn take(&self) -> Vec<Replacement> {
        mem::take(&mut lock(&self.0).replacements)
    }

    fn put(&self, replacement: Replacement) {
        let mut pending = lock(&self.0);
        pending.replacements.push(replacement);
        if let Some(wake) = &pending.wake {
            wake();
        }
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = || -> io::Result<SystemTime> { path.metadata()?.modified() };
    Timestamp::try_from(modified().ok()?).ok()
}
