//! Runs a plugin natively in tests, without lightmon. The harness fills in only the fields that the plugin requests, as
//! lightmon does: a test fails if the plugin forgets to request a field.
//!
//! ```
//! # use lightmon_plugin::{Config, Event, Plugin, Verdict};
//! # struct Mark;
//! # impl Plugin for Mark {
//! #     fn new(_: &Config) -> Result<Self, String> { Ok(Self) }
//! #     fn on_event(&mut self, e: &Event) -> Verdict { Verdict::keep().tag("port", e.destination_port().to_string()) }
//! # }
//! # lightmon_plugin::register!(Mark);
//! use lightmon_plugin::test::{Harness, event};
//!
//! let mut plugin = Harness::<Mark>::new("{}").unwrap();
//! assert_eq!(plugin.event(event().destination("[2001:db8::1]:80")), Verdict::keep().tag("port", "80"));
//! ```

pub(crate) mod host;
mod sample;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Actions, Batch, Config, Fields, Kind, Plugin, Report, Verdict,
    bindings::{self, Container, Process},
    log::Level,
    register::Registered,
};

use self::host::{Csv, Host};
pub use self::sample::{Sample, event};

/// A plugin under test and the host that it runs in.
#[derive(Debug)]
pub struct Harness<P> {
    /// The plugin. If a test calls its methods directly, they see neither the tables nor the store of this harness.
    pub plugin: P,
    settings: Config,
    host: Host,
}

impl<P: Plugin> Harness<P> {
    /// Creates the plugin from its settings, a JSON object. Grants no table.
    ///
    /// # Errors
    /// If the plugin refuses the settings. The text is the one that a user sees.
    pub fn new(settings: &str) -> Result<Self, String> {
        Self::with_tables(settings, &[])
    }

    /// Creates the plugin and grants tables to it. A table is a pair of its name and its content as CSV. The first line names
    /// the columns. The first cell of each line is an address, a network or a host name. To stand in for an MMDB file, name a
    /// column like a path: `country/iso_code`.
    ///
    /// # Errors
    /// If the plugin refuses the settings or the tables. The text is the one that a user sees.
    pub fn with_tables(settings: &str, tables: &[(&str, &str)]) -> Result<Self, String> {
        let settings = Config::from_json(settings)?;
        let mut host = Host::default();
        host.tables = tables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Csv::parse(text)))
            .collect();
        let plugin = host.serve(|| P::new(&settings))?;
        Ok(Self {
            plugin,
            settings,
            host,
        })
    }

    /// Replaces the instance, as lightmon does after a fault. Only the content of [`kv`](Self::kv) survives.
    ///
    /// # Errors
    /// If the plugin refuses its settings. The text is the one that a user sees.
    pub fn restart(&mut self) -> Result<(), String> {
        let Self {
            plugin,
            settings,
            host,
        } = self;
        host.close_tables();
        *plugin = host.serve(|| P::new(settings))?;
        Ok(())
    }

    /// Runs the plugin on one event.
    pub fn event(&mut self, event: Sample) -> Verdict {
        let mut verdicts = self.batch([event]);
        verdicts.pop().expect("invariant: one verdict an event")
    }

    /// Runs the plugin on a batch of events. The verdicts are in the order of the events. Events of a kind that the plugin
    /// does not support are kept without a call.
    ///
    /// # Panics
    /// If the plugin decides on an event that is not in the batch.
    pub fn batch(&mut self, events: impl IntoIterator<Item = Sample>) -> Vec<Verdict> {
        let kinds = match self.plugin.kinds() {
            kinds if kinds.is_empty() => vec![Kind::CONNECTION],
            kinds => kinds,
        };
        let mut supported = vec![];
        let is_supported: Vec<bool> = events
            .into_iter()
            .map(|event| {
                let is_supported = kinds.contains(&Kind(event.event.kind));
                if is_supported {
                    supported.push(event);
                }
                is_supported
            })
            .collect();
        let batch = self.make_batch(supported);
        let mut actions = Actions::default();
        let Self { plugin, host, .. } = self;
        host.serve(|| plugin.on_batch(&batch, &mut actions));
        let mut verdicts = actions.verdicts(batch.0.events.len()).into_iter();
        is_supported
            .into_iter()
            .map(|is_supported| match is_supported {
                true => verdicts.next().expect("invariant: one verdict an event"),
                false => Verdict::keep(),
            })
            .collect()
    }

    /// Runs a tick and returns the reports; none if the plugin has no period. `now` is the time since 1970-01-01 UTC.
    pub fn tick(&mut self, now: Duration) -> Vec<Report> {
        let Self { plugin, host, .. } = self;
        match plugin.tick_period() {
            Some(_) => host.serve(|| plugin.on_tick(now)),
            None => vec![],
        }
    }

    /// Stops the plugin and returns the reports. `now` is the time since 1970-01-01 UTC.
    pub fn stop(&mut self, now: Duration) -> Vec<Report> {
        let Self { plugin, host, .. } = self;
        host.serve(|| plugin.on_stop(now))
    }

    /// The entries in the plugin's [`kv`](crate::kv) store.
    pub fn kv(&self) -> &BTreeMap<String, String> {
        &self.host.kv
    }

    /// The entries in the plugin's [`kv`](crate::kv) store, for a test that prepares them.
    pub fn kv_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.host.kv
    }

    /// The plugin's [counters](crate::counter).
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.host.counters
    }

    /// The messages that the plugin [logged](crate::log).
    pub fn logged(&self) -> &[(Level, String)] {
        &self.host.logged
    }

    /// Builds the batch that lightmon would deliver to this plugin.
    pub fn make_batch(&self, events: impl IntoIterator<Item = Sample>) -> Batch {
        let needs = self.plugin.needs();
        let mut batch = bindings::Batch {
            processes: vec![],
            containers: vec![],
            events: vec![],
        };
        for sample in events {
            let (mut event, process, container) = sample.build();
            event.process = process
                .and_then(|process| project_process(process, needs))
                .map(|process| index(&mut batch.processes, process));
            event.container = container
                .and_then(|container| project_container(container, needs))
                .map(|container| index(&mut batch.containers, container));
            event.tags = event.tags.filter(|_| needs.contains(Fields::TAGS));
            event.dname = event.dname.filter(|_| needs.contains(Fields::DNAME));
            event.extra = event.extra.filter(|_| needs.contains(Fields::EXTRA));
            batch.events.push(event);
        }
        Batch(batch)
    }
}

/// The manifest that [`register!`](crate::register) generated.
///
/// # Panics
/// If the manifest is not JSON, because its `config` is not.
pub fn manifest<P: Registered>() -> serde_json::Value {
    serde_json::from_slice(P::MANIFEST).expect("the manifest's `config` is JSON")
}

fn index<T: PartialEq>(table: &mut Vec<T>, item: T) -> u32 {
    let at = table
        .iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            table.push(item);
            table.len() - 1
        });
    u32::try_from(at).expect("invariant: a test has fewer than 2^32 events")
}

fn project_process(mut process: Process, needs: Fields) -> Option<Process> {
    process.args = process.args.filter(|_| needs.contains(Fields::ARGS));
    process.parents = process.parents.filter(|_| needs.contains(Fields::PARENTS));
    needs
        .intersects(Fields::PROCESS | Fields::ARGS | Fields::PARENTS)
        .then_some(process)
}

fn project_container(mut container: Container, needs: Fields) -> Option<Container> {
    container.labels = container.labels.filter(|_| needs.contains(Fields::LABELS));
    needs
        .intersects(Fields::CONTAINER | Fields::LABELS)
        .then_some(container)
}
