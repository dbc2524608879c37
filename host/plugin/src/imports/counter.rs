//! `counter`: numbers that a plugin shows in lightmon's summary. They only grow, and stop at the largest.

use std::{collections::BTreeMap, sync::Mutex};

use wasmtime::component::LinkerInstance;

use super::{super::engine::Data, Host};
use lightmon_event::stats;
use lightmon_thread::lock;

/// Most bytes of a name.
const LONGEST: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("add", |store, (name, delta): (String, u64)| {
        store.data().host.kept.counters.add(name, delta);
        Ok(())
    })
}

/// One plugin's numbers.
pub(crate) struct Counters {
    /// Most names.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was added since it was last taken, of each name that there ever was.
    added: BTreeMap<String, u64>,
    /// Additions to names that can't be: too many, too long, empty.
    ignored: u64,
    is_new: bool,
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
        state.is_new = true;
        if let Some(sum) = state.added.get_mut(&name) {
            *sum = sum.saturating_add(delta);
        } else if state.added.len() < self.limit && (1..=LONGEST).contains(&name.len()) {
            state.added.insert(name, delta);
        } else {
            state.ignored += 1;
        }
    }

    /// Moves what was added to where it is shown.
    pub(crate) fn count(&self, to: &stats::Plugin) {
        let mut state = lock(&self.state);
        if !std::mem::take(&mut state.is_new) {
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
