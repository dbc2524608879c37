//! The errors of plugins, in words for the person who runs or writes the plugin. Decides nothing.
//!
//! Text from a file or a plugin is escaped before it gets here, so a cause is text and not a `source`.

use std::{io, path::PathBuf, time::Duration};

use lightmon_event::escape::printable;

use crate::spec::Digest;

/// The shortest `period` of a plugin.
pub(crate) const MIN_PERIOD: Duration = Duration::from_millis(100);

/// A plugin that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", printable(&file.to_string_lossy()))]
pub struct Error {
    /// The plugin's file.
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
    /// The path names a directory, a device…
    #[error("is not a regular file: name the .wasm file itself")]
    NotAFile,
    /// The file has no bytes.
    #[error("is empty: build or download it again")]
    Empty,
    /// The file has more bytes than allowed.
    #[error("is larger than {} MiB: build it with optimisation and without debug information", limit >> 20)]
    TooLarge {
        /// See [`Limits::file`](crate::Limits::file).
        limit: u64,
    },
    /// The code is too large to compile safely.
    #[error(
        "has more than {functions} functions, {locals} locals or {parts} modules and components, which would take too long to compile: build it with optimisation and without unused code"
    )]
    TooComplex {
        /// The limit of functions.
        functions: u64,
        /// The limit of locals, all functions together.
        locals: u64,
        /// The limit of modules and components in the file.
        parts: u64,
    },
    /// The file is machine code.
    #[error(
        "is precompiled code, which can't be trusted: give the .wasm file that it was made from"
    )]
    Precompiled,
    /// The file is WebAssembly text.
    #[error("is WebAssembly text: convert it first, with `wasm-tools parse -o plugin.wasm`")]
    Text,
    /// The file is anything else.
    #[error("is not WebAssembly: give the .wasm file that the plugin's build makes")]
    NotWasm,
    /// The WebAssembly is not valid.
    #[error("is damaged, truncated or too new: build or download it again ({0})")]
    Malformed(String),
    /// A core module from which no component can be made.
    #[error(
        "can't be encoded as a component: build it for wasm32-unknown-unknown with the plugin SDK ({0})"
    )]
    Encode(String),
    /// A core module that does not declare its types.
    #[error(
        "is a core module without a component-type section: build it with the plugin SDK or wit-bindgen"
    )]
    Untyped,
    /// The file does not export the plugin contract.
    #[error("is not a lightmon plugin: it exports {}, but not lightmon:plugin/filter; build it with the plugin SDK", list(.0))]
    NoFilter(Vec<String>),
    /// A version of the contract that this host does not support.
    #[error(
        "needs version {plugin} of the plugin contract, this lightmon has {host}: upgrade {upgrade}"
    )]
    Version {
        /// The plugin's version.
        plugin: String,
        /// The host's version.
        host: &'static str,
        /// Which of the two is the older.
        upgrade: &'static str,
    },
    /// Imports that the host does not provide.
    #[error("imports {}, which lightmon does not provide: build it without", list(.0))]
    Imports(Vec<String>),
    /// Required tables that the user has not granted.
    #[error("needs {}: grant it with {}", tables(.0), grants(.0))]
    Ungranted(Vec<Wanted>),
    /// A granted table that the plugin does not ask for.
    #[error("was granted the table `{name}`, but asks for {}", list(.asks))]
    Unasked {
        /// The name that the user granted it by.
        name: String,
        /// The tables that the manifest asks for.
        asks: Vec<String>,
    },
    /// A granted file that can't be used as a table.
    #[error("the table `{name}` in {file}: {cause}")]
    Table {
        /// The name of the table.
        name: String,
        /// Its file.
        file: String,
        /// What is wrong with the file.
        cause: String,
    },
    /// The exports' types differ from the contract.
    #[error(
        "does not match the plugin contract that it names: build it again with the plugin SDK ({0})"
    )]
    Contract(String),
    /// The plugin failed in `init`.
    #[error("can't start: init {0}")]
    Init(Fault),
    /// The period of the ticks is too short.
    #[error("asks for a tick every {0} ms: the minimum is {MIN} ms, and 0 means no ticks", MIN = MIN_PERIOD.as_millis())]
    Period(u32),
    /// The plugin returned an error from `init`.
    #[error("refuses to start: {0}")]
    Refused(String),
    /// The plugin's `when` is not an expression.
    #[error("asks for events with an invalid expression, `{expression}`: {cause}")]
    When {
        /// The expression.
        expression: String,
        /// The error of the expression.
        cause: String,
    },
    /// Unknown or missing settings.
    #[error("{0}")]
    Settings(String),
    /// The file does not have the digest that the user has set.
    #[error(
        "has the SHA-256 {actual}, but sha256={expected} is set: if the file was changed on purpose, set the new one"
    )]
    Digest {
        /// The digest of the file.
        actual: Digest,
        /// The digest that the user has set.
        expected: Digest,
    },
    /// The user's `when` is not an expression.
    #[error("when={expression}: {cause}")]
    BadWhen {
        /// The expression.
        expression: String,
        /// The error of the expression.
        cause: String,
    },
    /// The machine can't run WebAssembly.
    #[error("can't be run on this machine: {0}")]
    Engine(String),
}

impl Reason {
    /// The types of the plugin do not match the contract.
    pub(crate) fn contract(error: wasmtime::Error) -> Self {
        Self::Contract(printable(&format!("{error:#}")))
    }
}

/// A table that a plugin's manifest asks for.
#[derive(Debug)]
pub struct Wanted {
    /// The name of the table.
    pub table: String,
    /// The purpose, as the plugin's author describes it.
    pub why: Option<String>,
}

/// A plugin with `on_fault=halt` has failed: lightmon must stop.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("plugin {plugin} {reason}: lightmon stops because of on_fault=halt")]
pub struct Halt {
    /// The name of the plugin.
    pub plugin: String,
    /// What happened.
    pub reason: String,
}

/// How a call of a plugin has failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It took too long.
    #[error("took longer than {0:?}")]
    Deadline(Duration),
    /// It needed too much memory or too many table elements.
    #[error("requested {requested} {unit}, the limit is {limit}")]
    Memory {
        /// The total that it would have had.
        requested: usize,
        /// The limit.
        limit: usize,
        /// The unit of both numbers.
        unit: &'static str,
    },
    /// It needed too much stack.
    #[error("recursed deeper than its stack of {} KiB", .0 >> 10)]
    Stack(usize),
    /// It returned too much data.
    #[error("returned more than {} KiB", .0 >> 10)]
    Answer(usize),
    /// It returned invalid pointers, lengths or text.
    #[error("returned data that can't be read: {0}")]
    Malformed(String),
    /// A trap of WebAssembly; a panic is the trap `unreachable`.
    #[error("trapped: {0}")]
    Trap(String),
    /// It used a table that it has not opened.
    #[error("used table {0}, which it has not opened")]
    Table(u32),
    /// The results of its look-ups are too large for one call.
    #[error("looked up more than {} KiB in one call", .0 >> 10)]
    LookUps(usize),
    /// It did not start again after a fault.
    #[error("did not restart: {0}")]
    Restart(String),
}

/// If there is no manifest, the names of the tables are not known.
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
