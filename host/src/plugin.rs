//! Runs WebAssembly plugins over batches of events: each may drop, tag, change or format them.
//! Trusts nothing that a plugin does: it can lose its own say, but never stop, block or crash the monitor.
//!
//! A plugin is a component that exports `lightmon:plugin/filter` (see `wit/`), or a core module that becomes one when
//! it is loaded. All it can do is compute and call what is in `imports`, within [`Limits`].
//!
//! # Threads
//! WebAssembly runs on the thread that calls [`Chain::load`] and [`Chain::run`], with up to [`Limits::stack`] of its
//! stack: give that thread at least 4 MiB. One more thread keeps the time while a plugin runs, and sleeps otherwise. What the
//! calling thread has no time to wait for goes [past](Past) them.
//!
//! # Process
//! Loading makes machine code, so the process must be allowed to (systemd: no `MemoryDenyWriteExecute=`), and installs
//! handlers for SIGSEGV, SIGILL and SIGFPE, which pass on what is not WebAssembly's.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{event::Event, stats::Stats};

mod action;
mod cache;
mod engine;
mod error;
mod grants;
mod guest;
mod imports;
mod instance;
mod limits;
mod load;
mod manifest;
mod module;
mod skip;
mod spec;
mod text;
mod v0_1;

pub use error::{Error, Fault, Halt, Reason, Wanted};
pub use limits::Limits;
pub use skip::Past;
pub use spec::{BadSpec, OnFault, Spec};

use guest::Guest;
use imports::tables::Files;

/// A compiled expression: whether an event is one that a plugin wants to see.
pub type When = Box<dyn Fn(&Event) -> bool + Send>;

/// The plugins, in the order in which events pass them.
pub struct Chain {
    guests: Vec<Guest>,
}

impl Chain {
    /// Reads, compiles and starts the plugins. `when` compiles an expression of the exclude language for them, `cache` is
    /// the folder where compiled plugins are kept for the next time; one that others can write to is not used.
    ///
    /// # Errors
    /// When one of them can't be used: which, and why.
    pub fn load(
        specs: &[Spec],
        limits: &Limits,
        cache: Option<&Path>,
        when: impl Fn(&str) -> Result<When, String>,
    ) -> Result<Self, Error> {
        let mut guests: Vec<Guest> = Vec::with_capacity(specs.len());
        if specs.is_empty() {
            return Ok(Self { guests });
        }
        let engine = engine::Engine::new(limits, cache).map_err(|error| Error {
            file: specs[0].path.clone(),
            reason: Reason::Engine(text::printable(&format!("{error:#}"))),
        })?;
        let (engine, mut files) = (Arc::new(engine), Files::default());
        for spec in specs {
            let name = distinct(&spec.name(), |name| {
                guests.iter().any(|guest| guest.name() == name)
            });
            let guest = Guest::load(spec, name, &engine, limits, &mut files, &when);
            guests.push(guest.map_err(|reason| Error {
                file: spec.path.clone(),
                reason,
            })?);
        }
        Ok(Self { guests })
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
    pub fn past(&self) -> Past {
        let guests = self.guests.iter();
        Past::new(guests.map(|guest| (guest.name().to_owned(), guest.on_fault())))
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
        for (guest, count) in self.guests.iter_mut().zip(&stats.plugins) {
            result = result.and(guest.run(batch, count));
        }
        result
    }
}

/// What a plugin shares with its next instance, or with the other threads.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
