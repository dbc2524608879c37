//! Counts the faults of a plugin: logs them, backs off, and disables a plugin that fails too often.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::Runner;
use crate::{
    error::{Fault, Halt},
    limits::Limits,
    spec::OnFault,
};

/// The first time to back off; it doubles with each further fault.
const MIN_BACKOFF: Duration = Duration::from_millis(100);

/// The longest time to back off.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

impl Runner {
    /// Forgets all faults, and enables the plugin. Returns whether it was disabled.
    pub(crate) fn enable(&mut self) -> bool {
        self.faults.clear();
        self.logged_faults.clear();
        self.backoff_until = None;
        mem::take(&mut self.is_disabled)
    }

    /// Whether the plugin must not be called now.
    pub(super) fn is_paused(&mut self) -> bool {
        self.backoff_until = self.backoff_until.filter(|until| Instant::now() < *until);
        self.is_disabled || self.backoff_until.is_some()
    }

    /// Sets how long the plugin is not called after a fault. The first fault of a window costs no time, except for a failed
    /// restart: a restart that fails will fail again at once, and may take long.
    pub(super) fn back_off(&mut self, is_restart: bool) {
        let faults = self.faults.len();
        let faults = if is_restart {
            faults
        } else {
            faults.saturating_sub(1)
        };
        self.backoff_until = faults.checked_sub(1).map(|exponent| {
            let backoff = MIN_BACKOFF * (1 << exponent.min(16));
            Instant::now() + backoff.min(MAX_BACKOFF)
        });
    }

    /// Logs a fault if it is the first of its kind, and disables a plugin that has had too many.
    pub(super) fn record_fault(&mut self, fault: &Fault, on: &str) {
        if self.is_disabled {
            return;
        }
        let kind = mem::discriminant(fault);
        if !self.logged_faults.contains(&kind) {
            self.logged_faults.push(kind);
            tracing::warn!(plugin = %self.name, %fault, "plugin failed on {on}; it is restarted (logged once for each kind of fault)");
        }
        if self.on_fault == OnFault::Halt {
            self.halt.get_or_insert(Halt {
                plugin: self.name.clone(),
                reason: fault.to_string(),
            });
        }
        let now = Instant::now();
        self.faults.push_back(now);
        let is_old = |then: &Instant| now.duration_since(*then) > self.limits.window;
        while self.faults.front().is_some_and(is_old) {
            self.faults.pop_front();
        }
        if self.faults.len() >= self.limits.faults {
            let Limits { faults, window, .. } = self.limits;
            self.disable(&format!(
                "{faults} faults within {window:?}, the last: it {fault}"
            ));
        }
    }

    fn disable(&mut self, reason: &str) {
        self.is_disabled = true;
        self.instance = None;
        let events = match self.on_fault {
            OnFault::Pass | OnFault::Halt => "pass unchanged",
            OnFault::Drop => "are dropped",
        };
        tracing::error!(plugin = %self.name, reason, "plugin disabled until it is reloaded, by SIGHUP or --watch; its events {events}");
    }
}
