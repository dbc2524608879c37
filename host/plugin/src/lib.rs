//! Runs WebAssembly plugins over batches of events: each plugin can drop, tag, change or format events.
//! Trusts no plugin: a plugin that fails loses its verdict on some events, but it can never stop, block or crash the monitor.
//!
//! A plugin is a component that exports `lightmon:plugin/filter` (see `wit/`), or a core module that is encoded as a component
//! when it is loaded. A plugin can only compute and call the functions in `imports`, within [`Limits`].
//!
//! # Threads
//! WebAssembly runs on the thread that calls [`Files::load`] and [`Chain::run`], and uses up to [`Limits::stack`] bytes of its
//! stack. That thread needs a stack of at least 4 MiB, and should hold no [capabilities](lightmon_thread::privileges). A second
//! thread checks deadlines while a plugin runs, and sleeps otherwise. Events for which the plugins have no time take the
//! [`Bypass`]. Changed plugins are [compiled and started](Reload) while the old ones run.
//!
//! # Process
//! Loading a plugin makes machine code, so the process must be allowed to map executable memory (systemd: no
//! `MemoryDenyWriteExecute=`). wasmtime installs handlers for SIGSEGV, SIGILL and SIGFPE, which forward all signals that are
//! not WebAssembly's.

mod chain;
mod files;

mod error;
mod limits;
mod spec;
mod when;

mod file;
mod load;
mod loader;
mod manifest;
mod module;
mod settings;
mod size_check;

mod cache;
mod engine;
mod grants;
mod imports;
mod instance;
mod v0_1;

mod action;
mod bypass;
mod dead_letters;
mod runner;

mod reload;

pub mod default_paths;
mod secure_fs;

pub use bypass::Bypass;
pub use chain::Chain;
pub use error::{Error, Fault, Halt, Reason, Wanted};
pub use files::Files;
pub use limits::{BadLimit, LimitOverrides, Limits};
pub use load::is_provided;
pub use module::encode as component;
pub use reload::{Reload, ReloadReason};
pub use spec::{BadSpec, Digest, OnFault, Spec};
pub use when::{Compile, When, when};
