//! SDK for lightmon plugins in Rust: one trait and one macro. Depends on the contract in `wit/`, never on the host.
//!
//! A plugin receives each connection that lightmon reports. It can [drop](Verdict::drop) the event, [tag](Verdict::tag) it,
//! [replace the text](Verdict::set) of a field, or [write its output line](Verdict::line). This plugin drops DNS queries:
//!
//! ```
//! use lightmon_plugin::{Config, Event, Plugin, Verdict};
//!
//! struct NoDns;
//!
//! impl Plugin for NoDns {
//!     fn new(config: &Config) -> Result<Self, String> {
//!         config.none().map(|()| Self)
//!     }
//!
//!     fn on_event(&mut self, event: &Event) -> Verdict {
//!         if event.destination_port() == 53 { Verdict::drop() } else { Verdict::keep() }
//!     }
//! }
//!
//! lightmon_plugin::register!(NoDns);
//!
//! // In its tests:
//! use lightmon_plugin::test::{Harness, event};
//! let mut plugin = Harness::<NoDns>::new("{}").unwrap();
//! assert_eq!(plugin.event(event().destination("192.0.2.1:53")), Verdict::drop());
//! assert_eq!(plugin.event(event().destination("192.0.2.1:443")), Verdict::keep());
//! ```
//!
//! A plugin is a crate of type `cdylib`, built for `wasm32-unknown-unknown`. The crate also builds natively, so that tests run
//! without lightmon, in the harness of [`mod@test`]. The README explains how to write, build and run a first plugin.
//!
//! # Fields
//!
//! Numbers, addresses and ports are always present. Other fields cost time for each event, so lightmon fills in only those that
//! [`Plugin::needs`] requests:
//!
//! ```
//! # use lightmon_plugin::{Config, Event, Fields, Plugin, Verdict};
//! struct Compose;
//!
//! impl Plugin for Compose {
//! #   fn new(config: &Config) -> Result<Self, String> { config.none().map(|()| Self) }
//!     fn needs(&self) -> Fields {
//!         Fields::LABELS
//!     }
//!
//!     fn on_event(&mut self, event: &Event) -> Verdict {
//!         match event.container().and_then(|container| container.label("com.docker.compose.service")) {
//!             Some(service) => Verdict::keep().tag("service", service),
//!             None => Verdict::keep(),
//!         }
//!     }
//! }
//! # use lightmon_plugin::test::{Harness, event};
//! # let mut plugin = Harness::<Compose>::new("{}").unwrap();
//! # let web = event().label("com.docker.compose.service", "web");
//! # assert_eq!(plugin.event(web), Verdict::keep().tag("service", "web"));
//! # lightmon_plugin::register!(Compose);
//! ```
//!
//! # Settings
//!
//! Settings from the command line (`--plugin slow.wasm:over=250`) are text; settings from the configuration file have types.
//! [`Config::parse`] deserializes both into a struct. An error names the wrong setting:
//!
//! ```
//! # use lightmon_plugin::{Config, Event, Plugin, Verdict};
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Slow {
//!     /// Milliseconds.
//!     over: u64,
//! }
//!
//! impl Plugin for Slow {
//!     fn new(config: &Config) -> Result<Self, String> {
//!         config.parse()
//!     }
//!
//!     fn on_event(&mut self, event: &Event) -> Verdict {
//!         match event.latency() {
//!             Some(latency) if latency.as_millis() >= u128::from(self.over) => Verdict::keep().tag("slow", "yes"),
//!             _ => Verdict::keep(),
//!         }
//!     }
//! }
//! # use lightmon_plugin::test::{Harness, event};
//! # lightmon_plugin::register!(Slow);
//! assert!(Harness::<Slow>::new(r#"{"over": "250"}"#).is_ok());
//! assert_eq!(
//!     Harness::<Slow>::new(r#"{"ovre": 250}"#).err().unwrap(),
//!     "unknown field `ovre`, expected `over`"
//! );
//! ```
//!
//! # Functions of the host
//!
//! A plugin can use [`log`], [`counter`], [`kv`] and the [`table`]s that the user grants. It imports only the functions that it
//! calls. A plugin has no access to files, the network or a clock.
//!
//! # Ticks and reports
//!
//! If [`tick_period`](Plugin::tick_period) returns a period, lightmon calls [`on_tick`](Plugin::on_tick) once in each period.
//! It calls [`on_stop`](Plugin::on_stop) of every plugin at the end. lightmon writes the returned reports among the events:
//!
//! ```
//! use std::time::Duration;
//! # use lightmon_plugin::{Config, Event, Plugin, Report, Verdict};
//! struct Count(u64);
//!
//! impl Plugin for Count {
//! #   fn new(config: &Config) -> Result<Self, String> { config.none().map(|()| Self(0)) }
//!     fn on_event(&mut self, _: &Event) -> Verdict {
//!         self.0 += 1;
//!         Verdict::keep()
//!     }
//!
//!     fn tick_period(&self) -> Option<Duration> {
//!         Some(Duration::from_secs(60))
//!     }
//!
//!     fn on_tick(&mut self, _now: Duration) -> Vec<Report> {
//!         vec![Report::new("connections").field("count", std::mem::take(&mut self.0))]
//!     }
//! }
//! # lightmon_plugin::register!(Count);
//! # use lightmon_plugin::test::{Harness, event};
//! let mut plugin = Harness::<Count>::new("{}").unwrap();
//! plugin.batch([event(), event()]);
//! assert_eq!(plugin.tick(Duration::from_secs(60))[0].get("count"), Some("2"));
//! ```
//!
//! # Panics
//!
//! A panic ends the instance of the plugin, not lightmon. lightmon creates a new instance. The user's setting `on_fault` decides
//! whether the event that caused the panic is dropped.
//!
//! With the feature `panic-log`, which is on by default, the SDK logs the message and the location of the panic. For a
//! [redactor](Role::Redactor) it logs only the location, because the message may contain a secret.
//!
//! # Without the standard library
//!
//! With `default-features = false`, the SDK needs only `core` and `alloc`, and has no [`mod@test`]. The plugin must then define
//! an allocator and a panic handler, such as [`panic_handler!`]. `plugin-sdk/examples/tiny` is a complete example. Such a plugin
//! imports only the host functions that its own code calls.
//!
//! # Versions
//!
//! The minor version of the crate is the version of the contract. The file of a plugin names the contract that the plugin was
//! built for. If lightmon does not support that version, it does not start; the error names both versions and which side to
//! upgrade.
//!
//! | lightmon-plugin | contract | runs in lightmon |
//! |---|---|---|
//! | 0.1 | `lightmon:plugin@0.1.0` (`wit/v0.1`) | 0.1 and later |
//!
//! # Changes
//!
//! 0.1.0, not yet released: the trait [`Plugin`] with events, batches, ticks and stop; [`log`], [`counter`], [`kv`],
//! [`table`]; the [`Manifest`]; [`mod@test`].
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]
#![warn(
    missing_docs,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    clippy::dbg_macro,
    clippy::todo,
    clippy::exit,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::mod_module_files,
    clippy::allow_attributes_without_reason,
    clippy::redundant_clone,
    clippy::uninlined_format_args
)]

extern crate alloc;

#[doc(hidden)]
pub mod bindings;
mod config;
pub mod counter;
mod event;
mod host;
pub mod kv;
pub mod log;
mod manifest;
#[doc(hidden)]
pub mod register;
mod report;
mod scope;
pub mod table;
#[cfg(all(feature = "std", not(target_arch = "wasm32")))]
pub mod test;
mod verdict;

use alloc::{string::String, vec::Vec};
use core::time::Duration;

#[doc(no_inline)]
pub use bindings::{Container, Fields, Parent, Process};
pub use config::Config;
pub use event::{Batch, Event, Kind, Outcome, Protocol};
pub use manifest::{Manifest, Permission, Role};
pub use report::Report;
pub use scope::{Scope, carried_ipv4};
pub use verdict::{Actions, Field, Verdict};

/// A plugin. lightmon creates an instance when it starts, after a fault and after a reload.
pub trait Plugin: Sized {
    /// Creates the plugin from its settings.
    ///
    /// # Errors
    /// If the plugin cannot work, for example because a setting is wrong. lightmon prints the text and does not start.
    fn new(config: &Config) -> Result<Self, String>;

    /// The optional fields that the plugin requests. Called once, after [`new`](Self::new).
    fn needs(&self) -> Fields {
        Fields::empty()
    }

    /// An expression in lightmon's exclude language, such as `dport=53 || container="web"`. The plugin receives only events
    /// that match the expression. This costs less than a check in the plugin. Called once, after [`new`](Self::new).
    fn when(&self) -> Option<String> {
        None
    }

    /// The kinds of events that the plugin supports. An empty list means connections only. Called once, after
    /// [`new`](Self::new).
    fn kinds(&self) -> Vec<Kind> {
        Vec::new()
    }

    /// Decides on one event.
    fn on_event(&mut self, event: &Event<'_>) -> Verdict;

    /// Decides on the events of a batch. By default, calls [`on_event`](Self::on_event) for each event.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        for event in batch.events() {
            actions.push(&event, self.on_event(&event));
        }
    }

    /// The interval between two calls of [`on_tick`](Self::on_tick), at least 100 ms. Ticks also happen while there are no
    /// events. By default there are none. Called once, after [`new`](Self::new).
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Called once in each period. `now` is the time since 1970-01-01 UTC; in a replay, the time of the events.
    fn on_tick(&mut self, now: Duration) -> Vec<Report> {
        let _ = now;
        Vec::new()
    }

    /// Called once before lightmon exits, or before a reload replaces the instance; not after a fault.
    fn on_stop(&mut self, now: Duration) -> Vec<Report> {
        let _ = now;
        Vec::new()
    }
}
