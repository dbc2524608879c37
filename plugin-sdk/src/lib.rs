//! Write lightmon plugins in Rust: one trait, one macro. Knows the contract in `wit/`, never the host.
//!
//! A plugin sees each connection that lightmon reports, and says what becomes of it: [drop](Verdict::drop) it,
//! [tag](Verdict::tag) it, [replace a text](Verdict::set) in it, or [write its line](Verdict::line). A whole one, which
//! leaves out look-ups of names:
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
//! The crate is a `cdylib`, built for `wasm32-unknown-unknown`; the plugin is the file that comes out. It also builds for
//! the machine it is written on, where [`mod@test`] runs it without a host. The README leads from nothing to a running plugin.
//!
//! # Fields
//!
//! Numbers, addresses and ports are always there. Everything else costs time for each event, and comes only when
//! [`Plugin::needs`] asks for it:
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
//! `--plugin slow.wasm:over=250` gives settings as text, the configuration file gives them typed; [`Config::parse`] takes
//! both into a struct, and says what is wrong with them:
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
//! # What it can use of the host
//!
//! [`log`], [`counter`], [`kv`] and, where the user grants one, a [`table`]. What a plugin does not use it does not import; what
//! is not there does not exist for it: no files, no network, no clock.
//!
//! # Between events
//!
//! A plugin with a [`tick_period`](Plugin::tick_period) is called now and then, and each one at the end; what it returns is
//! written among the events:
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
//! A panic ends the plugin's instance, not lightmon: it is made anew, and what becomes of the event that did it the user says
//! (`on_fault`). Before that, the panic's message and place go to lightmon's log; of a plugin whose role is
//! [redactor](Role::Redactor) only the place, since the message may hold what was to be masked. Feature `panic-log`, on by default.
//!
//! # Without the standard library
//!
//! `default-features = false` leaves `core` and `alloc`, and no [`mod@test`]. The plugin then brings an allocator, and a
//! panic handler, such as [`panic_handler!`]; `plugin-sdk/examples/tiny` is a whole one. Such a plugin imports nothing that it does
//! not use itself.
//!
//! # Versions
//!
//! The crate's minor version is the contract's. A plugin says in its file which contract it was made for; lightmon runs those it
//! knows, and refuses others before it starts, naming both versions and which of the two to upgrade.
//!
//! | lightmon-plugin | contract | runs in lightmon |
//! |---|---|---|
//! | 0.1 | `lightmon:plugin@0.1.0` (`wit/v0.1`) | 0.1 and later |
//!
//! # Changes
//!
//! 0.1.0, not yet released: the trait [`Plugin`] with events, batches, ticks and an end; [`log`], [`counter`], [`kv`],
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

/// A plugin: one is made for each run, and again after a fault.
pub trait Plugin: Sized {
    /// Makes the plugin from its settings.
    ///
    /// # Errors
    /// Whatever keeps it from working, such as a wrong setting: lightmon shows the text and does not start.
    fn new(config: &Config) -> Result<Self, String>;

    /// What the host has to fill in, besides what is always there. Asked once, after [`new`](Self::new).
    fn needs(&self) -> Fields {
        Fields::empty()
    }

    /// An expression in lightmon's exclude language (`dport=53 || container="web"`). The host gives the plugin only the
    /// events that match it, which costs less than looking at them here. Asked once, after [`new`](Self::new).
    fn when(&self) -> Option<String> {
        None
    }

    /// The kinds of events that it knows; none is connections only. Asked once, after [`new`](Self::new).
    fn kinds(&self) -> Vec<Kind> {
        Vec::new()
    }

    /// Decides on one event.
    fn on_event(&mut self, event: &Event<'_>) -> Verdict;

    /// Decides on the events of a batch; by default on one after the other.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        for event in batch.events() {
            actions.push(&event, self.on_event(&event));
        }
    }
    /// How often it wants to be called, also while there are no events; at least 100 ms. By default never. Asked once, after
    /// [`new`](Self::new).
    fn tick_period(&self) -> Option<Duration> {
        None
    }

    /// Called once a period. `now` is since 1970-01-01 UTC; in a replay it is the time of the events.
    fn on_tick(&mut self, now: Duration) -> Vec<Report> {
        let _ = now;
        Vec::new()
    }

    /// Called once before lightmon ends, or before another version of the plugin takes its place; not after a fault.
    fn on_stop(&mut self, now: Duration) -> Vec<Report> {
        let _ = now;
        Vec::new()
    }
}
