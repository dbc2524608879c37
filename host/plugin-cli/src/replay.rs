//! `lightmon plugin replay`: shows what a plugin does to each recorded event.

use std::path::PathBuf;

use clap::ValueHint;
use serde_json::{Value, json};

use super::{Done, difference, load, plugin::Plugin, print, recording};
use lightmon_event::{Event, Stats, escape::printable};
use lightmon_plugin_host::Limits;

/// Show what a plugin does to recorded events
///
/// Shows each event that the plugin drops, tags, changes or writes as a line of its own. Unchanged events are only counted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]")]
    plugin: String,

    /// Read events from FILE
    ///
    /// FILE has JSON lines, as `-f json` and `lightmon record` write them; - is stdin.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// Write a JSON object for each changed event
    ///
    /// The last object has the totals.
    #[arg(long)]
    json: bool,
}

/// What the plugin did to one event.
struct Change<'a> {
    /// Position in the recording, from 1.
    number: usize,
    event: &'a Event,
    /// None if the plugin dropped the event.
    after: Option<&'a Event>,
    fields: Vec<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let limits = Limits::default();
    let mut chain = load::load(&plugin.spec, &limits)?;
    let stats = Stats::new(chain.names());
    let before = recording::events(&args.file)?;
    let mut after: Vec<Option<Event>> = vec![None; before.len()];
    for (n, events) in before.chunks(limits.events).enumerate() {
        let first = n * limits.events;
        let mut batch: Vec<Event> = events.to_vec();
        // Plugins neither see nor set this field: it identifies the events that remain.
        for (i, event) in batch.iter_mut().enumerate() {
            event.exec_id = (first + i) as u64;
        }
        chain.run(&mut batch, &stats)?;
        for event in batch {
            let place = event.exec_id as usize;
            after[place] = Some(event);
        }
    }
    let changes: Vec<Change<'_>> = before
        .iter()
        .zip(&after)
        .enumerate()
        .filter_map(|(i, (event, after))| change(i + 1, event, after.as_ref()))
        .collect();
    let dropped = changes
        .iter()
        .filter(|change| change.after.is_none())
        .count();
    let mut text = String::new();
    for change in &changes {
        text.push_str(&match args.json {
            true => format!("{}\n", as_json(change)),
            false => as_text(change),
        });
    }
    let (all, changed) = (before.len(), changes.len() - dropped);
    let unchanged = all - changes.len();
    text.push_str(&match args.json {
        true => format!(
            "{}\n",
            json!({"events": all, "dropped": dropped, "changed": changed, "unchanged": unchanged})
        ),
        false => {
            format!("{all} events: {dropped} dropped, {changed} changed, {unchanged} unchanged\n")
        }
    });
    print(&text)?;
    Ok(Done::Success)
}

fn change<'a>(number: usize, event: &'a Event, after: Option<&'a Event>) -> Option<Change<'a>> {
    let mut fields = Vec::new();
    if let Some(after) = after {
        fields = difference::fields(&recording::value(event), &recording::value(after));
        if let Some(line) = &after.line {
            fields.push(format!("line {}", printable(line)));
        }
        if fields.is_empty() {
            return None;
        }
    }
    Some(Change {
        number,
        event,
        after,
        fields,
    })
}

/// Formats `   4  systemd-resolve → 192.0.2.53:53  dropped`.
fn as_text(change: &Change<'_>) -> String {
    let Change {
        number,
        event,
        after,
        fields,
    } = change;
    let what = match after {
        None => "dropped".to_owned(),
        Some(_) => fields.join("; "),
    };
    format!(
        "{number:>4}  {} → {}  {what}\n",
        printable(&event.comm),
        event.destination
    )
}

fn as_json(change: &Change<'_>) -> Value {
    let line = change.after.and_then(|after| after.line.as_ref());
    json!({
        "event": change.number,
        "before": recording::value(change.event),
        "after": change.after.map(recording::value),
        "line": line,
    })
}
