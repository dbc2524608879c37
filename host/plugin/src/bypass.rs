//! Events that a plugin gives no verdict on: passed on and marked, or dropped, as the user wants it.

use std::sync::atomic::Ordering::Relaxed;

use super::{Halt, OnFault};
use lightmon_event::{Event, Stats, stats};

/// Names the plugins that an event has not been seen by, with a space between.
const MARK: &str = "plugin_skipped";

/// The way past all plugins of a chain, for what they have no time for.
#[derive(Clone, Debug)]
pub struct Bypass(Vec<(String, OnFault)>);

impl Bypass {
    pub(super) fn new(plugins: impl Iterator<Item = (String, OnFault)>) -> Self {
        Self(plugins.collect())
    }

    /// Takes events past the plugins.
    ///
    /// # Errors
    /// When lightmon must end rather than go on without one of them; the events are there nevertheless.
    pub fn apply(&self, batch: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        let mut result = Ok(());
        for ((name, on_fault), count) in self.0.iter().zip(&stats.plugins) {
            if batch.is_empty() {
                break;
            }
            batch.retain_mut(|event| skip(event, name, *on_fault, count));
            if *on_fault == OnFault::Halt {
                result = result.and(Err(Halt {
                    plugin: name.clone(),
                    reason: "can't keep up with the events".to_owned(),
                }));
            }
        }
        result
    }
}

/// Counts and marks an event that a plugin has not seen. Whether it stays.
pub(super) fn skip(
    event: &mut Event,
    name: &str,
    on_fault: OnFault,
    count: &stats::Plugin,
) -> bool {
    count.skipped.fetch_add(1, Relaxed);
    if on_fault == OnFault::Drop {
        count.dropped.fetch_add(1, Relaxed);
        return false;
    }
    let before = event.tags.iter().find(|(key, _)| key == MARK);
    let names = match before {
        Some((_, names)) => format!("{names} {name}"),
        None => name.to_owned(),
    };
    event.tag(MARK, names);
    true
}
