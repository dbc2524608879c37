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

#[doc(hidden)]
pub mod bindings;
mod config;
mod event;
mod manifest;
#[doc(hidden)]
pub mod register;
mod scope;
pub mod test;
mod verdict;

#[doc(no_inline)]
pub use bindings::{Container, Fields, Parent, Process};
pub use config::Config;
pub use event::{Batch, Event, Outcome, Protocol};
pub use manifest::{Manifest, Role};
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

    /// Decides on one event.
    fn on_event(&mut self, event: &Event<'_>) -> Verdict;

    /// Decides on the events of a batch; by default on one after the other.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        for event in batch.events() {
            actions.push(&event, self.on_event(&event));
        }
    }
}
