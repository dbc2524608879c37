//! `log`: writes messages of a plugin to lightmon's log, with the plugin's name. If a plugin logs too much, its messages are left
//! out and counted until the next second.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use lightmon_event::escape::printable_within;
use lightmon_thread::lock;
use wasmtime::component::LinkerInstance;

use super::Host;
use crate::engine::Data;

/// Bytes of a message; a longer one is truncated.
const MAX_MESSAGE_BYTES: usize = 2 << 10;

/// The limit of messages is for this time.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The levels of text on stdout and stderr.
pub(crate) const INFO: u8 = 3;
pub(crate) const WARN: u8 = 2;

pub(crate) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("log", |store, (level, text): (u8, String)| {
        store.data().host.state.log.write(level, &text);
        Ok(())
    })
}

/// The log of one plugin.
pub(crate) struct Log {
    plugin: String,
    /// Messages per window.
    limit: u32,
    state: Mutex<State>,
}

struct State {
    window_start: Instant,
    /// Messages of this window.
    written: u32,
    omitted: u64,
}

impl Log {
    pub(crate) fn new(plugin: &str, limit: u32) -> Self {
        Self {
            plugin: plugin.to_owned(),
            limit,
            state: Mutex::new(State {
                window_start: Instant::now(),
                written: 0,
                omitted: 0,
            }),
        }
    }

    pub(crate) fn write(&self, level: u8, text: &str) {
        // A message that is not logged does not count.
        let is_enabled = match level {
            0 | 1 => tracing::enabled!(tracing::Level::ERROR),
            2 => tracing::enabled!(tracing::Level::WARN),
            3 => tracing::enabled!(tracing::Level::INFO),
            _ => tracing::enabled!(tracing::Level::DEBUG),
        };
        if !is_enabled || !self.take_slot() {
            return;
        }
        let (plugin, text) = (&self.plugin, printable_within(text, MAX_MESSAGE_BYTES));
        match level {
            0 | 1 => tracing::error!(%plugin, "{text}"),
            2 => tracing::warn!(%plugin, "{text}"),
            3 => tracing::info!(%plugin, "{text}"),
            _ => tracing::debug!(%plugin, "{text}"),
        }
    }

    /// Counts a message. Returns whether it is within the limit.
    fn take_slot(&self) -> bool {
        let mut state = lock(&self.state);
        if state.window_start.elapsed() >= RATE_WINDOW {
            state.window_start = Instant::now();
            state.written = 0;
            self.log_omitted(&mut state);
        }
        if state.written >= self.limit {
            state.omitted += 1;
            return false;
        }
        state.written += 1;
        true
    }

    fn log_omitted(&self, state: &mut State) {
        match std::mem::take(&mut state.omitted) {
            0 => {}
            n => tracing::warn!(
                plugin = %self.plugin,
                "{n} messages left out: a plugin can log {} a second", self.limit
            ),
        }
    }
}

/// Logs the last number of omitted messages.
impl Drop for Log {
    fn drop(&mut self) {
        self.log_omitted(&mut lock(&self.state));
    }
}
