//! Runs WebAssembly plugins over batches of events: each may drop, tag, change or format them.
//! Trusts nothing that a plugin does: it can lose its own say, but never stop, block or crash the monitor.
//!
//! A plugin is a component that exports `lightmon:plugin/filter` (see `wit/`), or a core module that becomes one when
//! it is loaded. All it can do is compute and call what is in `imports`, within [`Limits`].
//!
//! # Threads
//! WebAssembly runs on the thread that calls [`Files::load`] and [`Chain::run`], with up to [`Limits::stack`] of its
//! stack: give that thread at least 4 MiB, and no [capabilities](lightmon_thread::privileges). One more thread keeps the time while a plugin
//! runs, and sleeps otherwise. What the calling thread has no time to wait for goes [past](Bypass) them. Changed plugins are made
//! ready [beside](Reload) those that run.
//!
//! # Process
//! Loading makes machine code, so the process must be allowed to (systemd: no `MemoryDenyWriteExecute=`), and installs
//! handlers for SIGSEGV, SIGILL and SIGFPE, which pass on what is not WebAssembly's.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};

use lightmon_event::{Event, Notice, Stats, escape::printable};

mod action;
mod bypass;
mod cache;
mod dead_letters;
mod engine;
mod error;
mod extent;
pub mod folders;
mod grants;
mod imports;
mod instance;
mod limits;
mod load;
mod manifest;
mod module;
mod reload;
mod runner;
mod secure_fs;
mod settings;
mod spec;
mod v0_1;
mod when;

pub use bypass::Bypass;
pub use error::{Error, Fault, Halt, Reason, Wanted};
pub use limits::{BadLimit, LimitOverrides, Limits};
pub use reload::{Reload, ReloadReason};
pub use spec::{BadSpec, Digest, OnFault, Spec};
pub use when::{Compile, When, when};

use cache::Cache;
use dead_letters::DeadLetters;
use engine::Engine;
use imports::{Kept, tables};
use reload::{ChainEntry, Replacements};
use runner::Runner;

/// The plugins' files as they were read. Nothing in them has been looked at yet.
pub struct Files {
    plugins: Vec<(Spec, Result<Vec<u8>, Reason>)>,
    tables: tables::Files,
    cache: Cache,
}

impl Files {
    /// Reads what [`load`](Self::load) may not be allowed to read. `cache` is the folder where compiled plugins are kept for
    /// the next time; one that others can write to is not used.
    pub fn read(specs: &[Spec], limits: &Limits, cache: Option<&Path>) -> Self {
        let read = |spec: &Spec| {
            let limit = spec.limits.over(limits).file;
            (spec.clone(), load::read(&spec.path, limit))
        };
        Self {
            plugins: specs.iter().map(read).collect(),
            tables: tables::Files::read(specs, limits),
            cache: Cache::open(cache.filter(|_| !specs.is_empty())),
        }
    }

    /// Compiles and starts them. `when` is for the expressions that they bring along.
    ///
    /// # Errors
    /// When one of them can't be used: which, and why.
    pub fn load(self, limits: &Limits, when: Compile) -> Result<Chain, Error> {
        let inbox = Arc::<Replacements>::default();
        let mut chain = Chain {
            guests: Vec::with_capacity(self.plugins.len()),
            inbox: inbox.clone(),
            reload: None,
            letters: DeadLetters::new(None, TimeZone::UTC),
        };
        let Some((first, _)) = self.plugins.first() else {
            return Ok(chain);
        };
        let engine = Engine::new(limits, self.cache).map_err(|error| Error {
            file: first.path.clone(),
            reason: Reason::Engine(printable(&format!("{error:#}"))),
        })?;
        let loader = Loader {
            engine: Arc::new(engine),
            limits: limits.clone(),
            tables: Arc::new(self.tables),
            when,
        };
        let mut seats = Vec::with_capacity(self.plugins.len());
        for (spec, bytes) in self.plugins {
            let name = distinct(&spec.name(), |name| {
                chain.guests.iter().any(|guest| guest.name() == name)
            });
            let (file, optional) = (spec.path.clone(), spec.optional);
            let load = || {
                let bytes = bytes?;
                let kept = Arc::new(Kept::new(&name, &spec.limits.over(limits)));
                let digest = Digest::of(&bytes);
                let guest = Runner::load(&spec, name, &bytes, digest, &loader, kept.clone())?;
                Ok((
                    ChainEntry::new(spec, guest.name().to_owned(), digest, kept),
                    guest,
                ))
            };
            match load().map_err(|reason| Error { file, reason }) {
                Ok((seat, guest)) => {
                    seats.push(seat);
                    chain.guests.push(guest);
                }
                Err(error) if optional => {
                    tracing::warn!("{error}; lightmon goes on without it, since it is optional");
                }
                Err(error) => return Err(error),
            }
        }
        chain.reload = Some(Reload::new(seats, loader, inbox));
        Ok(chain)
    }
}

/// What all plugins are loaded with, at the start and later.
#[derive(Clone)]
struct Loader {
    engine: Arc<Engine>,
    limits: Limits,
    tables: Arc<tables::Files>,
    when: Compile,
}

/// The plugins, in the order in which events pass them.
pub struct Chain {
    guests: Vec<Runner>,
    /// Plugins to take the place of some of these.
    inbox: Arc<Replacements>,
    reload: Option<Reload>,
    letters: DeadLetters,
}

impl Chain {
    /// [Reads](Files::read) and [loads](Files::load) them on this thread.
    ///
    /// # Errors
    /// When one of them can't be used: which, and why.
    pub fn load(
        specs: &[Spec],
        limits: &Limits,
        cache: Option<&Path>,
        when: Compile,
    ) -> Result<Self, Error> {
        Files::read(specs, limits, cache).load(limits, when)
    }

    /// Keeps the events that a plugin fails on in this file, until it has failed on too many.
    pub fn keep_dead_letters(&mut self, file: PathBuf, zone: TimeZone) {
        self.letters = DeadLetters::new(Some(file), zone);
    }

    /// Makes changed plugins ready, once it is given away; none without plugins.
    pub fn reload(&mut self) -> Option<Reload> {
        self.reload.take()
    }

    /// Calls `wake` whenever there is something to [`swap`](Self::swap).
    pub fn wake_with(&self, wake: impl Fn() + Send + 'static) {
        self.inbox.wake_with(Box::new(wake));
    }

    /// Puts plugins that were made ready in the place of those that they are newer than; to be called between batches. None when
    /// there were none, else the last words of the old ones.
    pub fn swap(&mut self, now: Timestamp, stats: &Stats) -> Option<Vec<Notice>> {
        let swaps = self.inbox.take();
        let is_any = !swaps.is_empty();
        let said = swaps
            .into_iter()
            .flat_map(|swap| swap.apply(&mut self.guests, now, stats))
            .collect();
        is_any.then_some(said)
    }

    /// Calls those plugins that want to be called by now, and adds what they have to say. From the first call on, they
    /// wait for as long as they asked for, in the time `elapsed`, which goes on evenly; `now` is what they are told.
    ///
    /// # Errors
    /// When a plugin has failed with whose fault lightmon must end.
    pub fn tick(
        &mut self,
        (now, elapsed): (Timestamp, Duration),
        stats: &Stats,
        reports: &mut Vec<Notice>,
    ) -> Result<(), Halt> {
        let mut result = Ok(());
        for (guest, count) in self.guests.iter_mut().zip(&stats.plugins) {
            result = result.and(guest.tick((now, elapsed), count, reports));
        }
        result
    }

    /// When the next plugin wants to be called, as time `elapsed`.
    pub fn next_tick(&self) -> Option<Duration> {
        self.guests.iter().filter_map(Runner::due).min()
    }

    /// Ends them: their last words.
    pub fn stop(&mut self, now: Timestamp, stats: &Stats) -> Vec<Notice> {
        let guests = self.guests.iter_mut().zip(&stats.plugins);
        guests
            .flat_map(|(guest, count)| guest.stop(now, count))
            .collect()
    }

    /// What messages and counters call them: the file's name without its ending, made distinct (`geoip`, `geoip#2`).
    pub fn names(&self) -> Vec<String> {
        self.guests
            .iter()
            .map(|guest| guest.name().to_owned())
            .collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    /// What becomes of events for which the plugins have no time.
    pub fn bypass(&self) -> Bypass {
        let guests = self.guests.iter();
        Bypass::new(guests.map(|guest| (guest.name().to_owned(), guest.on_fault())))
    }

    /// Passes a batch through the chain. A plugin sees what those before it have tagged and changed; what it drops
    /// leaves the batch and is counted.
    ///
    /// # Errors
    /// When a plugin has failed with whose fault lightmon must end; the batch is whole nevertheless.
    ///
    /// # Panics
    /// When `stats` was not made with this chain's [`names`](Self::names).
    pub fn run(&mut self, batch: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        assert_eq!(
            self.guests.len(),
            stats.plugins.len(),
            "invariant: stats are made with the chain's names"
        );
        let mut result = Ok(());
        // What a redactor has still to see may hold what it hides.
        let last_redactor = self.guests.iter().rposition(Runner::is_redactor);
        for (i, (guest, count)) in self.guests.iter_mut().zip(&stats.plugins).enumerate() {
            self.letters.hides = last_redactor >= Some(i);
            result = result.and(guest.run(batch, count, &mut self.letters));
        }
        result
    }
}

/// Whether there is something for that import.
pub fn is_provided(import: &str) -> bool {
    load::is_provided(import)
}

/// The component that a core module becomes when it is loaded.
pub fn component(module: &[u8]) -> Result<Vec<u8>, Reason> {
    module::encode(module)
}

/// The name, or the first of `name#2`, `name#3`… that is not taken.
fn distinct(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut distinct = name.to_owned();
    let mut n = 1;
    while taken(&distinct) {
        n += 1;
        distinct = format!("{name}#{n}");
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_distinct() {
        let mut names: Vec<String> = Vec::new();
        for name in ["geoip", "geoip", "geoip#2", "geoip"] {
            let name = distinct(name, |name| names.iter().any(|n| n == name));
            names.push(name);
        }
        assert_eq!(names, ["geoip", "geoip#2", "geoip#2#2", "geoip#3"]);
    }

    #[test]
    fn a_chain_can_move_to_the_pipelines_thread() {
        fn is_send<T: Send>() {}
        is_send::<Chain>();
    }
}
