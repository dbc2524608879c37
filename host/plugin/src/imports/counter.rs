//! `counter`: numbers of a plugin in lightmon's summary. They only grow, and stop at the largest number.

use std::{collections::BTreeMap, sync::Mutex};

use lightmon_event::stats;
use lightmon_thread::lock;
use wasmtime::component::LinkerInstance;

use super::Host;
use crate::engine::Data;

/// Bytes of a name.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("add", |store, (name, delta): (String, u64)| {
        store.data().host.state.counters.add(name, delta);
        Ok(())
    })
}

/// The counters of one plugin.
pub(crate) struct Counters {
    /// The limit of names.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was added to each name since the last flush.
    added: BTreeMap<String, u64>,
    /// Additions that were ignored: too many names, a name that is empty or too long.
    ignored: u64,
    has_changed: bool,
}

impl Counters {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    fn add(&self, name: String, delta: u64) {
        let mut state = lock(&self.state);
        state.has_changed = true;
        if let Some(sum) = state.added.get_mut(&name) {
            *sum = sum.saturating_add(delta);
        } else if state.added.len() < self.limit && (1..=MAX_NAME_BYTES).contains(&name.len()) {
            state.added.insert(name, delta);
        } else {
            state.ignored += 1;
        }
    }

    /// Moves what was added to the statistics.
    pub(crate) fn flush(&self, to: &stats::Plugin) {
        let mut state = lock(&self.state);
        if !std::mem::take(&mut state.has_changed) {
            return;
        }
        to.ignored.fetch_add(
            std::mem::take(&mut state.ignored),
            std::sync::atomic::Ordering::Relaxed,
        );
        for (name, sum) in &mut state.added {
            to.add(name, std::mem::take(sum));
        }
    }
}
