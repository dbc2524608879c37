//! What a plugin may call: functions of the host that cost little, keep it within its limits and never wait. It reaches
//! nothing else: no file, no network, no clock.
//!
//! | interface | what for | where it ends |
//! |---|---|---|
//! | `log` | messages | 20 lines a second |
//! | `counter` | numbers in the summary | 64 names |
//! | `kv` | a memory that survives a fault | 1 MiB |
//! | `tables` | look-up files that the user grants | 4 MiB of answers a call |
//! | WASI | what other languages' libraries don't start without | there is nothing behind it |

use std::{collections::BTreeMap, sync::Arc};

use wasmtime::component::{Component, Linker, LinkerInstance};

use super::{Limits, Reason, engine::Data};

mod counter;
mod kv;
mod log;
pub(super) mod tables;
pub(super) mod wasi;

use self::{counter::Counters, kv::Kv, log::Log, tables::Table};

/// The package of the interfaces; a plugin that was made for another patch version finds them too.
const VERSION: &str = "0.1.0";

/// All that plugins may import, before `@` and the version.
pub(super) const NAMES: [&str; 4] = [
    "lightmon:plugin/log",
    "lightmon:plugin/counter",
    "lightmon:plugin/kv",
    TABLES,
];

/// See [`tables`].
pub(super) const TABLES: &str = "lightmon:plugin/tables";

/// What a plugin leaves behind when its instance ends, for the next one.
pub(super) struct Kept {
    log: Log,
    pub(super) counters: Counters,
    kv: Kv,
}

impl Kept {
    /// Empty, for the plugin that messages call by that name.
    pub(super) fn new(name: &str, limits: &Limits) -> Self {
        Self {
            log: Log::new(name, limits.log),
            counters: Counters::new(limits.counters),
            kv: Kv::new(limits.kv),
        }
    }
}

/// The look-up files that were granted, by the names that the plugin knows them by.
pub(super) type Grants = Arc<BTreeMap<String, Arc<Table>>>;

/// The host's side of one instance.
pub(super) struct Host {
    kept: Arc<Kept>,
    tables: tables::Opened,
    stdout: wasi::Lines,
    stderr: wasi::Lines,
    /// WASI's, that the instance holds.
    resources: u32,
}

impl Host {
    pub(super) fn new(kept: Arc<Kept>, grants: Grants, limits: &Limits) -> Self {
        Self {
            kept,
            tables: tables::Opened::new(grants, limits.answer),
            stdout: wasi::Lines::default(),
            stderr: wasi::Lines::default(),
            resources: 0,
        }
    }
}

impl wasi::Host for Data<Host> {
    fn output(&mut self, is_stderr: bool, bytes: &[u8]) {
        let Host {
            kept,
            stdout,
            stderr,
            ..
        } = &mut self.host;
        let (lines, level) = match is_stderr {
            true => (stderr, log::WARNING),
            false => (stdout, log::INFORMATION),
        };
        lines.push(bytes, |line| kept.log.say(level, line));
    }

    fn resources(&mut self) -> &mut u32 {
        &mut self.host.resources
    }
}

/// Everything that the plugin finds when it is instantiated.
pub(super) fn linker(
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<Linker<Data<Host>>, Reason> {
    let mut linker = Linker::new(engine);
    let parts: [Part; 4] = [log::link, counter::link, kv::link, tables::link];
    for (name, link) in NAMES.into_iter().zip(parts) {
        linker
            .instance(&format!("{name}@{VERSION}"))
            .and_then(|mut interface| link(&mut interface))
            .map_err(Reason::contract)?;
    }
    wasi::define(&mut linker, component).map_err(Reason::contract)?;
    Ok(linker)
}

type Part = fn(&mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()>;
