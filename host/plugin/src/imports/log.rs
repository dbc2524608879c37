//! `log`: messages of a plugin go to where lightmon's own go, marked with its name. One that talks too much is cut off
//! until the next second, and what it said meanwhile is counted.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use wasmtime::component::LinkerInstance;

use super::{super::engine::Data, Host};
use lightmon_event::escape::printable_within;
use lightmon_thread::lock;

/// Most bytes of a message.
const LONGEST: usize = 2 << 10;

/// In which so many messages may be said.
const WINDOW: Duration = Duration::from_secs(1);

/// The levels that text on stdout and stderr has.
pub(super) const INFORMATION: u8 = 3;
pub(super) const WARNING: u8 = 2;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("log", |store, (level, text): (u8, String)| {
        store.data().host.kept.log.say(level, &text);
        Ok(())
    })
}

/// One plugin's messages.
pub(super) struct Log {
    plugin: String,
    /// Messages a window.
    limit: u32,
    state: Mutex<State>,
}

struct State {
    began: Instant,
    said: u32,
    left_out: u64,
}

impl Log {
    pub(super) fn new(plugin: &str, limit: u32) -> Self {
        Self {
            plugin: plugin.to_owned(),
            limit,
            state: Mutex::new(State {
                began: Instant::now(),
                said: 0,
                left_out: 0,
            }),
        }
    }

    pub(super) fn say(&self, level: u8, text: &str) {
        // What nobody wants to hear costs the plugin nothing.
        let is_heard = match level {
            0 | 1 => tracing::enabled!(tracing::Level::ERROR),
            2 => tracing::enabled!(tracing::Level::WARN),
            3 => tracing::enabled!(tracing::Level::INFO),
            _ => tracing::enabled!(tracing::Level::DEBUG),
        };
        if !is_heard || !self.may_say() {
            return;
        }
        let (plugin, text) = (&self.plugin, printable_within(text, LONGEST));
        match level {
            0 | 1 => tracing::error!(%plugin, "{text}"),
            2 => tracing::warn!(%plugin, "{text}"),
            3 => tracing::info!(%plugin, "{text}"),
            _ => tracing::debug!(%plugin, "{text}"),
        }
    }

    /// Counts one more.
    fn may_say(&self) -> bool {
        let mut state = lock(&self.state);
        if state.began.elapsed() >= WINDOW {
            state.began = Instant::now();
            state.said = 0;
            self.tell(&mut state);
        }
        if state.said >= self.limit {
            state.left_out += 1;
            return false;
        }
        state.said += 1;
        true
    }

    fn tell(&self, state: &mut State) {
        match std::mem::take(&mut state.left_out) {
            0 => {}
            n => tracing::warn!(
                plugin = %self.plugin,
                "{n} messages left out: a plugin may say {} a second", self.limit
            ),
        }
    }
}

/// At the end nothing flows any more.
impl Drop for Log {
    fn drop(&mut self) {
        self.tell(&mut lock(&self.state));
    }
}
