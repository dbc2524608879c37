//! The functions that a plugin can call. They are cheap, limited, and never wait. A plugin reaches nothing else: no file and no
//! network.
//!
//! | interface | purpose | limit |
//! |---|---|---|
//! | `log` | messages | 20 messages a second |
//! | `counter` | numbers in the summary | 64 names |
//! | `kv` | a store that survives faults and reloads | 1 MiB |
//! | `tables` | look-up files that the user grants | 4 MiB of results a call |
//! | WASI | what the standard libraries of other languages need | nothing is behind it |

mod counter;
mod kv;
mod log;
pub(crate) mod tables;
pub(crate) mod wasi;

use std::{collections::BTreeMap, sync::Arc};

use wasmtime::component::{Component, Linker, LinkerInstance};

use self::{counter::Counters, kv::Kv, log::Log, tables::Table};
use crate::{engine::Data, error::Reason, limits::Limits};

/// The version of the interfaces. wasmtime also gives them to plugins that import another patch version.
const VERSION: &str = "0.1.0";

/// The interfaces that plugins can import, without `@` and the version.
pub(crate) const NAMES: [&str; 4] = [
    "lightmon:plugin/log",
    "lightmon:plugin/counter",
    "lightmon:plugin/kv",
    TABLES,
];

/// See [`tables`].
pub(crate) const TABLES: &str = "lightmon:plugin/tables";

/// The state of a plugin that outlives its instances.
pub(crate) struct PluginState {
    log: Log,
    pub(crate) counters: Counters,
    kv: Kv,
}

impl PluginState {
    /// An empty state. `name` is the plugin's name in messages.
    pub(crate) fn new(name: &str, limits: &Limits) -> Self {
        Self {
            log: Log::new(name, limits.log),
            counters: Counters::new(limits.counters),
            kv: Kv::new(limits.kv),
        }
    }
}

/// The tables that are granted to a plugin, by the names that the plugin uses.
pub(crate) type GrantedTables = Arc<BTreeMap<String, Arc<Table>>>;

/// The host's side of one instance.
pub(crate) struct Host {
    state: Arc<PluginState>,
    tables: tables::OpenTables,
    stdout: wasi::LineBuffer,
    stderr: wasi::LineBuffer,
    /// The number of WASI resources that the instance holds.
    resources: u32,
}

impl Host {
    pub(crate) fn new(state: Arc<PluginState>, granted: GrantedTables, limits: &Limits) -> Self {
        Self {
            state,
            tables: tables::OpenTables::new(granted, limits.answer),
            stdout: wasi::LineBuffer::default(),
            stderr: wasi::LineBuffer::default(),
            resources: 0,
        }
    }
}

impl wasi::Host for Data<Host> {
    fn output(&mut self, is_stderr: bool, bytes: &[u8]) {
        let Host {
            state,
            stdout,
            stderr,
            ..
        } = &mut self.host;
        let (lines, level) = match is_stderr {
            true => (stderr, log::WARN),
            false => (stdout, log::INFO),
        };
        lines.push(bytes, |line| state.log.write(level, line));
    }

    fn resources(&mut self) -> &mut u32 {
        &mut self.host.resources
    }
}

/// Links all functions that a component can import.
pub(crate) fn linker(
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<Linker<Data<Host>>, Reason> {
    let mut linker = Linker::new(engine);
    let interfaces: [Link; 4] = [log::link, counter::link, kv::link, tables::link];
    for (name, link) in NAMES.into_iter().zip(interfaces) {
        linker
            .instance(&format!("{name}@{VERSION}"))
            .and_then(|mut interface| link(&mut interface))
            .map_err(Reason::contract)?;
    }
    wasi::define(&mut linker, component).map_err(Reason::contract)?;
    Ok(linker)
}

type Link = fn(&mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()>;
