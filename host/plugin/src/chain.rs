//! The plugins in the order in which events pass through them. Decides nothing about events itself.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use lightmon_event::{Event, Notice, Stats};

use crate::{
    bypass::Bypass,
    dead_letters::DeadLetters,
    error::Halt,
    reload::{Reload, Replacements},
    runner::Runner,
};

/// The plugins, in the order in which events pass through them.
pub struct Chain {
    runners: Vec<Runner>,
    /// Reloaded plugins that wait to replace one of `runners`.
    replacements: Arc<Replacements>,
    reload: Option<Reload>,
    dead_letters: DeadLetters,
}

impl Chain {
    pub(crate) fn new(
        runners: Vec<Runner>,
        replacements: Arc<Replacements>,
        reload: Option<Reload>,
    ) -> Self {
        Self {
            runners,
            replacements,
            reload,
            dead_letters: DeadLetters::new(None, TimeZone::UTC),
        }
    }

    /// Appends the events that a plugin fails on to this file.
    pub fn keep_dead_letters(&mut self, file: PathBuf, zone: TimeZone) {
        self.dead_letters = DeadLetters::new(Some(file), zone);
    }

    /// Takes the part that reloads changed plugins. `None` if there are no plugins or the part was taken before.
    pub fn reload(&mut self) -> Option<Reload> {
        self.reload.take()
    }

    /// Calls `wake` each time a replacement waits to be [applied](Self::apply_replacements).
    pub fn wake_with(&self, wake: impl Fn() + Send + 'static) {
        self.replacements.wake_with(Box::new(wake));
    }

    /// Replaces plugins by their reloaded versions; to be called between batches. Returns the reports of the old plugins' `stop`,
    /// or `None` if no replacement waits.
    pub fn apply_replacements(&mut self, now: Timestamp, stats: &Stats) -> Option<Vec<Notice>> {
        let replacements = self.replacements.take();
        if replacements.is_empty() {
            return None;
        }
        let reports = replacements
            .into_iter()
            .flat_map(|replacement| replacement.apply(&mut self.runners, now, stats))
            .collect();
        Some(reports)
    }

    /// Calls the `tick` of each plugin that is due, and appends what the plugins report. The first call only starts their
    /// timers. `elapsed` is monotonic time; `now` is the time that the plugins are given.
    ///
    /// # Errors
    /// If a plugin with `on_fault=halt` has failed.
    pub fn tick(
        &mut self,
        (now, elapsed): (Timestamp, Duration),
        stats: &Stats,
        reports: &mut Vec<Notice>,
    ) -> Result<(), Halt> {
        let mut result = Ok(());
        for (runner, stats) in self.runners.iter_mut().zip(&stats.plugins) {
            result = result.and(runner.tick((now, elapsed), stats, reports));
        }
        result
    }

    /// The `elapsed` time of the next tick of any plugin.
    pub fn next_tick(&self) -> Option<Duration> {
        self.runners.iter().filter_map(Runner::next_tick).min()
    }

    /// Stops all plugins, and returns the reports of their `stop`.
    pub fn stop(&mut self, now: Timestamp, stats: &Stats) -> Vec<Notice> {
        let runners = self.runners.iter_mut().zip(&stats.plugins);
        runners
            .flat_map(|(runner, stats)| runner.stop(now, stats))
            .collect()
    }

    /// The plugins' names in messages and counters: the file name without its extension, made distinct (`geoip`, `geoip#2`).
    pub fn names(&self) -> Vec<String> {
        self.runners
            .iter()
            .map(|runner| runner.name().to_owned())
            .collect()
    }

    /// Whether there are no plugins.
    pub fn is_empty(&self) -> bool {
        self.runners.is_empty()
    }

    /// The way past these plugins, for events that they have no time for.
    pub fn bypass(&self) -> Bypass {
        let runners = self.runners.iter();
        Bypass::new(runners.map(|runner| (runner.name().to_owned(), runner.on_fault())))
    }

    /// Passes a batch through all plugins. A plugin sees the tags and changes of the plugins before it. Dropped events are
    /// removed from the batch and counted.
    ///
    /// # Errors
    /// If a plugin with `on_fault=halt` has failed. The batch is complete nevertheless.
    ///
    /// # Panics
    /// If `stats` was not made with the [`names`](Self::names) of this chain.
    pub fn run(&mut self, batch: &mut Vec<Event>, stats: &Stats) -> Result<(), Halt> {
        assert_eq!(
            self.runners.len(),
            stats.plugins.len(),
            "invariant: stats are made with the chain's names"
        );
        let mut result = Ok(());
        // Before the last redactor, an event can hold what that redactor will hide.
        let last_redactor = self.runners.iter().rposition(Runner::is_redactor);
        for (i, (runner, stats)) in self.runners.iter_mut().zip(&stats.plugins).enumerate() {
            self.dead_letters.omits_free_text = last_redactor >= Some(i);
            result = result.and(runner.run(batch, stats, &mut self.dead_letters));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_can_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Chain>();
    }
}
