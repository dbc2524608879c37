//! The limits of plugins. Only numbers: other modules enforce them.

mod overrides;

use std::time::Duration;

pub use overrides::{BadLimit, LimitOverrides};

/// Bytes of memory for a plugin that contains the runtime of its language. Such a plugin starts with 30 MiB and more.
pub(crate) const MEMORY_WITH_RUNTIME: usize = 256 << 20;

/// The limits of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Timeout of one batch.
    pub batch: Duration,
    /// Timeout of `init`, at the start and after a fault.
    pub init: Duration,
    /// Timeout of `tick`.
    pub tick: Duration,
    /// Timeout of `stop`.
    pub stop: Duration,
    /// Events in one call.
    pub events: usize,
    /// Bytes of linear memory, all memories together.
    pub memory: usize,
    /// Table elements, all tables together.
    pub table_elements: usize,
    /// Bytes of WebAssembly stack.
    pub stack: usize,
    /// Bytes of the result of one call, in the host.
    pub answer: usize,
    /// Bytes of the plugin's file.
    pub file: u64,
    /// Bytes of a look-up file.
    pub table: u64,
    /// Messages a second.
    pub log: u32,
    /// Names of counters.
    pub counters: usize,
    /// Bytes of the plugin's `kv` store.
    pub kv: usize,
    /// Tags of one event.
    pub tags: usize,
    /// Bytes of one tag, key and value together.
    pub tag: usize,
    /// Bytes of an output line, or of a field that is replaced.
    pub line: usize,
    /// This many faults within [`window`](Self::window) disable a plugin.
    pub faults: usize,
    /// See [`faults`](Self::faults).
    pub window: Duration,
    /// Whether executed instructions are counted, for measurements; this makes plugins slower.
    pub metered: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: Duration::from_millis(100),
            init: Duration::from_secs(5),
            tick: Duration::from_millis(20),
            stop: Duration::from_millis(100),
            events: 256,
            memory: 64 << 20,
            table_elements: 20_000,
            stack: 512 << 10,
            answer: 4 << 20,
            file: 64 << 20,
            table: 1 << 30,
            log: 20,
            counters: 64,
            kv: 1 << 20,
            tags: 32,
            tag: 128,
            line: 16 << 10,
            faults: 5,
            window: Duration::from_secs(60),
            metered: false,
        }
    }
}
