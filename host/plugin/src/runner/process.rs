//! Gives batches to a plugin and applies its verdicts. After a fault, bisects the batch.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use lightmon_event::{Event, stats};

use super::{Runner, bisection::Budget};
use crate::{
    action::{self, Effect},
    bypass::bypass,
    dead_letters::DeadLetters,
    error::{Fault, Halt},
    limits::Limits,
    v0_1::{Action, batch::CONNECTION},
};

impl Runner {
    /// Gives the plugin the events that it wants, and removes the events that it drops from the batch.
    pub(crate) fn run(
        &mut self,
        batch: &mut Vec<Event>,
        stats: &stats::Plugin,
        dead_letters: &mut DeadLetters,
    ) -> Result<(), Halt> {
        let is_wanted = |event: &Event| {
            self.kinds.contains(&CONNECTION) && self.when.iter().all(|when| when(event))
        };
        let wanted: Vec<usize> = (0..batch.len()).filter(|&i| is_wanted(&batch[i])).collect();
        let mut verdicts = Verdicts {
            is_dropped: vec![false; batch.len()],
            events: batch,
            stats,
            dead_letters,
        };
        for chunk in wanted.chunks(self.limits.events.max(1)) {
            self.process(chunk, &mut verdicts, &mut None);
        }
        let mut is_dropped = verdicts.is_dropped.into_iter();
        batch.retain(|_| is_dropped.next() != Some(true));
        self.halt.take().map_or(Ok(()), Err)
    }

    /// Processes the events with these indexes, and after a fault each half of them. `budget` is `None` before the first fault.
    fn process(
        &mut self,
        indexes: &[usize],
        verdicts: &mut Verdicts<'_>,
        budget: &mut Option<Budget>,
    ) {
        let is_paused = match budget {
            None => self.is_paused(),
            // A restart that fails ends the bisection, even if the time to back off is over by now.
            Some(_) => self.is_disabled || self.backoff_until.is_some(),
        };
        let timeout = match budget {
            None => Some(self.limits.batch),
            Some(budget) => budget.next_call(),
        };
        let Some(timeout) = timeout.filter(|_| !is_paused) else {
            return verdicts.bypass(indexes, self);
        };
        let fault = match self.call(indexes, verdicts, timeout) {
            Ok(actions) => return verdicts.apply(actions, indexes, &self.limits),
            Err(fault) => fault,
        };
        self.instance = None;
        let is_first = budget.is_none();
        if is_first {
            *budget = Some(Budget::new(self.limits.batch));
            verdicts.stats.faults.fetch_add(1, Relaxed);
            self.record_fault(&fault, "a batch");
        }
        let is_restart = matches!(fault, Fault::Restart(_));
        if is_restart {
            self.back_off(is_restart);
        }
        if let ([i], false) = (indexes, is_restart) {
            verdicts.add_dead_letter(*i, &self.name, &fault);
        }
        if is_restart || indexes.len() == 1 || self.is_disabled {
            verdicts.bypass(indexes, self);
        } else {
            let (first, second) = indexes.split_at(indexes.len() / 2);
            self.process(first, verdicts, budget);
            self.process(second, verdicts, budget);
        }
        if is_first && !is_restart {
            self.back_off(is_restart);
        }
    }

    fn call(
        &mut self,
        indexes: &[usize],
        verdicts: &Verdicts<'_>,
        timeout: Duration,
    ) -> Result<Vec<Action>, Fault> {
        let needs = self.needs;
        let stats = verdicts.stats;
        let instance = self.instance(stats)?;
        let events = indexes.iter().map(|&i| &verdicts.events[i]);
        // Resets the count: what `init` has executed is not part of this batch.
        instance.take_fuel();
        let began = Instant::now();
        let result = instance.process(events, needs, timeout);
        stats.fuel.fetch_add(instance.take_fuel(), Relaxed);
        let (took, memory) = (began.elapsed(), instance.memory());
        let is_nearly_full = instance.is_nearly_full();
        self.template.state().counters.flush(stats);
        stats.called(indexes.len(), took, memory);
        if result.is_ok() && is_nearly_full {
            // A planned restart loses no verdict.
            self.instance = None;
        }
        result
    }
}

/// A batch while the verdicts of a plugin come in.
struct Verdicts<'a> {
    events: &'a mut [Event],
    is_dropped: Vec<bool>,
    stats: &'a stats::Plugin,
    dead_letters: &'a mut DeadLetters,
}

impl Verdicts<'_> {
    /// Applies actions in their order. An action on an event that is already dropped has no effect, and is not counted.
    fn apply(&mut self, actions: Vec<Action>, indexes: &[usize], limits: &Limits) {
        let (mut ignored, mut tagged) = (0, 0);
        for action in actions {
            let Some(&i) = indexes.get(action::event_index(&action) as usize) else {
                ignored += 1;
                continue;
            };
            if self.is_dropped[i] {
                continue;
            }
            let is_tag = matches!(action, Action::Tag(_));
            match action::apply(action, &mut self.events[i], limits) {
                Effect::Drop => {
                    self.is_dropped[i] = true;
                    self.stats.dropped.fetch_add(1, Relaxed);
                }
                Effect::Changed => tagged += u64::from(is_tag),
                Effect::Ignored => ignored += 1,
            }
        }
        self.stats.ignored.fetch_add(ignored, Relaxed);
        self.stats.tagged.fetch_add(tagged, Relaxed);
    }

    /// Writes an event that makes the plugin fail to the dead-letter queue.
    fn add_dead_letter(&mut self, i: usize, plugin: &str, fault: &Fault) {
        let is_written = self.dead_letters.write(&self.events[i], plugin, fault);
        self.stats.letters.fetch_add(is_written.into(), Relaxed);
    }

    /// Handles events that get no verdict.
    fn bypass(&mut self, indexes: &[usize], runner: &Runner) {
        for &i in indexes {
            let event = &mut self.events[i];
            self.is_dropped[i] = !bypass(event, &runner.name, runner.on_fault, self.stats);
        }
    }
}
