//! Handles events that get no verdict from a plugin: marks and passes them, or drops them, as the user has set it.

use std::sync::atomic::Ordering::Relaxed;

use lightmon_event::{Event, Stats, stats};

use crate::{error::Halt, spec::OnFault};

/// The tag that names the plugins that have not seen an event, separated by spaces.
const SKIPPED_TAG: &str = "plugin_skipped";

/// The way past all plugins of a chain, for events that the plugins have no time for.
#[derive(Clone, Debug)]
pub struct Bypass(Vec<(String, OnFault)>);

impl Bypass {
    pub(crate) fn new(plugins: impl Iterator<Item = (String, OnFault)>) -> Self {
        Self(plugins.collect())
    }

    /// Handles a batch that no plugin sees.
    ///
    /// # Errors
    /// If a plugin with `on_fault=halt` is bypassed. The batch is complete nevertheless.
    pub fn apply(&self, batch: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        let mut result = Ok(());
        for ((name, on_fault), stats) in self.0.iter().zip(&stats.plugins) {
            if batch.is_empty() {
                break;
            }
            batch.retain_mut(|event| bypass(event, name, *on_fault, stats));
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

/// Counts and marks an event that a plugin has not seen. Returns whether the event is kept.
pub(crate) fn bypass(
    event: &mut Event,
    plugin: &str,
    on_fault: OnFault,
    stats: &stats::Plugin,
) -> bool {
    stats.skipped.fetch_add(1, Relaxed);
    if on_fault == OnFault::Drop {
        stats.dropped.fetch_add(1, Relaxed);
        return false;
    }
    let before = event.tags.iter().find(|(key, _)| key == SKIPPED_TAG);
    let names = match before {
        Some((_, names)) => format!("{names} {plugin}"),
        None => plugin.to_owned(),
    };
    event.tag(SKIPPED_TAG, names);
    true
}
