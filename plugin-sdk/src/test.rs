//! Runs a plugin in its own tests: natively, without a host. Gives it what the host would give it, and no more: a field
//! that the plugin forgot to ask for is absent here too.
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

/// A plugin under test, with a host of its own.
#[derive(Debug)]
pub struct Harness<P> {
    /// The plugin itself. What is called here directly finds no host: neither tables nor what the harness keeps.
    pub plugin: P,
    settings: Config,
    host: Host,
}

impl<P: Plugin> Harness<P> {
    /// Makes the plugin from its settings, a JSON object. No table is granted.
    ///
    /// # Errors
    /// What the user would see.
    pub fn new(settings: &str) -> Result<Self, String> {
        Self::with_tables(settings, &[])
    }

    /// Makes the plugin, with tables granted to it: the name of each, and its text as CSV. The first line names the columns; each
    /// line's first cell is an address, a network or a name. For a column of an MMDB file name one `country/iso_code`.
    ///
    /// # Errors
    /// What the user would see.
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

    /// Makes the plugin anew, as after a fault: of the old one only [`kv`](Self::kv) is left.
    ///
    /// # Errors
    /// What the user would see.
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

    /// Gives it one event.
    pub fn event(&mut self, event: Sample) -> Verdict {
        let mut verdicts = self.batch([event]);
        verdicts.pop().expect("invariant: one verdict an event")
    }

    /// Gives it a batch of events; the verdicts are in the same order. Events of a kind that it does not know pass it by.
    ///
    /// # Panics
    /// When the plugin decides on an event that the batch does not have.
    pub fn batch(&mut self, events: impl IntoIterator<Item = Sample>) -> Vec<Verdict> {
        let kinds = match self.plugin.kinds() {
            kinds if kinds.is_empty() => vec![Kind::CONNECTION],
            kinds => kinds,
        };
        let mut known = vec![];
        let known_or_not: Vec<bool> = events
            .into_iter()
            .map(|event| {
                let is_known = kinds.contains(&Kind(event.event.kind));
                if is_known {
                    known.push(event);
                }
                is_known
            })
            .collect();
        let batch = self.make_batch(known);
        let mut actions = Actions::default();
        let Self { plugin, host, .. } = self;
        host.serve(|| plugin.on_batch(&batch, &mut actions));
        let mut verdicts = actions.verdicts(batch.0.events.len()).into_iter();
        known_or_not
            .into_iter()
            .map(|is_known| match is_known {
                true => verdicts.next().expect("invariant: one verdict an event"),
                false => Verdict::keep(),
            })
            .collect()
    }

    /// What it reports at a tick; nothing where it has no period. `now` is since 1970-01-01 UTC.
    pub fn tick(&mut self, now: Duration) -> Vec<Report> {
        let Self { plugin, host, .. } = self;
        match plugin.tick_period() {
            Some(_) => host.serve(|| plugin.on_tick(now)),
            None => vec![],
        }
    }

    /// What it reports at the end. `now` is since 1970-01-01 UTC.
    pub fn stop(&mut self, now: Duration) -> Vec<Report> {
        let Self { plugin, host, .. } = self;
        host.serve(|| plugin.on_stop(now))
    }

    /// What it keeps in [`kv`](crate::kv).
    pub fn kv(&self) -> &BTreeMap<String, String> {
        &self.host.kv
    }

    /// The same, to put something there before the plugin looks.
    pub fn kv_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.host.kv
    }

    /// What it has [counted](crate::counter).
    pub fn counters(&self) -> &BTreeMap<String, u64> {
        &self.host.counters
    }

    /// What it has [said](crate::log).
    pub fn logged(&self) -> &[(Level, String)] {
        &self.host.logged
    }

    /// The batch as the host would make it for this plugin.
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

/// The manifest that [`register!`](crate::register) has made.
///
/// # Panics
/// When it is no JSON, because the schema of the settings is none.
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
