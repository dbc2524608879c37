//! What is wrong with a plugin, in words for the person who runs or writes it. Decides nothing.
//!
//! Text from the file or the plugin is escaped where it gets in here, so that a cause is text, not a source.

use std::{io, path::PathBuf, time::Duration};

use super::Digest;

/// The least that a plugin's `period` may be.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// A plugin that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", lightmon_event::escape::printable(&file.to_string_lossy()))]
pub struct Error {
    /// Its file.
    pub file: PathBuf,
    /// Why.
    pub reason: Reason,
}

/// Why a plugin can't be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file can't be read.
    #[error("can't be read: {0}")]
    Read(io::Error),
    /// A directory, a device…
    #[error("is not a regular file: name the .wasm file itself")]
    NotAFile,
    /// No bytes.
    #[error("is empty: build or download it again")]
    Empty,
    /// More bytes than allowed.
    #[error("is larger than {} MiB: build it with optimisation and without debug information", limit >> 20)]
    TooLarge {
        /// See [`Limits::file`](super::Limits::file).
        limit: u64,
    },
    /// More than an honest plugin has.
    #[error(
        "has more than {functions} functions, {locals} locals or {parts} modules and components, which would take too long to compile: build it with optimisation and without what it doesn't use"
    )]
    TooMuch {
        /// That it may have.
        functions: u64,
        /// Likewise.
        locals: u64,
        /// Likewise.
        parts: u64,
    },
    /// Machine code.
    #[error(
        "is precompiled code, which can't be trusted: give the .wasm file that it was made from"
    )]
    Precompiled,
    /// The text format.
    #[error("is WebAssembly text: convert it first, with `wasm-tools parse -o plugin.wasm`")]
    Text,
    /// Anything else.
    #[error("is not WebAssembly: give the .wasm file that building the plugin has made")]
    NotWasm,
    /// WebAssembly that is not valid.
    #[error("is damaged, truncated or too new: build or download it again ({0})")]
    Malformed(String),
    /// A core module from which no component can be made.
    #[error(
        "can't be made a component: build it for wasm32-unknown-unknown with the plugin SDK ({0})"
    )]
    Encode(String),
    /// A core module that doesn't say what it is.
    #[error(
        "is a core module without a component-type section: build it with the plugin SDK or wit-bindgen"
    )]
    Untyped,
    /// Not a plugin.
    #[error("is no lightmon plugin: it exports {}, but not lightmon:plugin/filter; build it with the plugin SDK", list(.0))]
    NoFilter(Vec<String>),
    /// A contract that this host doesn't speak.
    #[error(
        "speaks version {plugin} of the plugin contract, this lightmon {host}: upgrade {upgrade}"
    )]
    Version {
        /// The plugin's.
        plugin: String,
        /// The host's.
        host: &'static str,
        /// Which of the two is the older.
        upgrade: &'static str,
    },
    /// Imports that there are not.
    #[error("wants {}, which plugins don't get: build it without", list(.0))]
    Imports(Vec<String>),
    /// Tables that the user has not granted.
    #[error("wants {}: grant it with {}", tables(.0), grants(.0))]
    Ungranted(Vec<Wanted>),
    /// A table that it doesn't ask for.
    #[error("was granted the table `{name}`, but asks for {}", list(.asks))]
    Unasked {
        /// What the user calls it.
        name: String,
        /// What its manifest asks for.
        asks: Vec<String>,
    },
    /// A granted file that is no table.
    #[error("the table `{name}` in {file}: {cause}")]
    Table {
        /// What the plugin calls it.
        name: String,
        /// Where it is.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The exports' types differ from the contract.
    #[error(
        "doesn't keep to the plugin contract that it names: build it again with the plugin SDK ({0})"
    )]
    Contract(String),
    /// It failed before it said anything.
    #[error("can't start: init {0}")]
    Init(Fault),
    /// It wants to be called too often.
    #[error("wants to be called every {0} ms: the least is {LEAST} ms, and 0 is never", LEAST = PERIOD.as_millis())]
    Period(u32),
    /// Its own words.
    #[error("refuses to start: {0}")]
    Refused(String),
    /// Its `when` is no expression.
    #[error("asks for events by an expression that is wrong, `{expression}`: {cause}")]
    When {
        /// The expression.
        expression: String,
        /// What the language says to it.
        cause: String,
    },
    /// Its settings are not those that it knows.
    #[error("{0}")]
    Settings(String),
    /// Not the file that the user wants.
    #[error(
        "has the SHA-256 {is}, but sha256={wanted} is asked for: if it was changed on purpose, say the new one"
    )]
    Digest {
        /// Of the file.
        is: Digest,
        /// What the user has said.
        wanted: Digest,
    },
    /// The user's `when` is no expression.
    #[error("when={expression}: {cause}")]
    BadWhen {
        /// The expression.
        expression: String,
        /// What the language says to it.
        cause: String,
    },
    /// The machine can't run WebAssembly.
    #[error("can't be run on this machine: {0}")]
    Engine(String),
}

impl Reason {
    /// The plugin's types are not the contract's.
    pub(super) fn contract(error: wasmtime::Error) -> Self {
        Self::Contract(lightmon_event::escape::printable(&format!("{error:#}")))
    }
}

/// A table that a plugin's manifest asks for.
#[derive(Debug)]
pub struct Wanted {
    /// What the plugin calls it.
    pub table: String,
    /// What for, in its own words.
    pub why: Option<String>,
}

/// A plugin with `on_fault=halt` has failed: lightmon must not go on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("plugin {plugin} {reason}, and on_fault=halt ends lightmon then")]
pub struct Halt {
    /// What messages call it.
    pub plugin: String,
    /// What happened.
    pub reason: String,
}

/// How a call of a plugin failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Time.
    #[error("took longer than {0:?}")]
    Deadline(Duration),
    /// Memory or tables.
    #[error("wanted {wanted} {unit}, {limit} is the limit")]
    Memory {
        /// What it would have had then.
        wanted: usize,
        /// What it may have.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// Stack.
    #[error("recursed deeper than its stack of {} KiB", .0 >> 10)]
    Stack(usize),
    /// An answer that is too large for the host.
    #[error("gave an answer larger than {} KiB", .0 >> 10)]
    Answer(usize),
    /// Pointers, lengths or text that are none.
    #[error("gave an answer that can't be read: {0}")]
    Malformed(String),
    /// Anything that WebAssembly stops at; a panic is `unreachable`.
    #[error("trapped: {0}")]
    Trap(String),
    /// A look-up in a table that it has not opened.
    #[error("looked something up in table {0}, which it has not opened")]
    Table(u32),
    /// Look-ups whose answers are too large for one call.
    #[error("looked up more than {} KiB in one call", .0 >> 10)]
    LookUps(usize),
    /// After a fault it did not start again.
    #[error("did not start again: {0}")]
    Restart(String),
}

/// A plugin without a manifest doesn't say which.
fn tables(wanted: &[Wanted]) -> String {
    let table = |Wanted { table, why }: &Wanted| match why {
        Some(why) => format!("the table `{table}` ({why})"),
        None => format!("the table `{table}`"),
    };
    match wanted {
        [] => "a table".to_owned(),
        wanted => wanted.iter().map(table).collect::<Vec<_>>().join(", "),
    }
}

fn grants(wanted: &[Wanted]) -> String {
    let grant = |wanted: &Wanted| format!("table.{}=FILE", wanted.table);
    match wanted {
        [] => "table.NAME=FILE".to_owned(),
        wanted => wanted.iter().map(grant).collect::<Vec<_>>().join(","),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}
