//! More events than a plugin can take: the source is read on, and each event is accounted for.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use lightmon::pipeline::Pipeline;
use lightmon_capture::{Next, Source};
use lightmon_event::{Record, Stats};
use lightmon_filter::Exclude;
use lightmon_output::{Format, Options, Output};
use lightmon_plugin_host::Limits;
use lightmon_thread::Stop;

use crate::{Host, events, guest::module, short};

const EVENTS: u64 = 50_000;

/// Brings events as fast as they are taken.
struct Flood(u64);

impl Source for Flood {
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        _stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next> {
        let count = self.0.min(max as u64);
        self.0 -= count;
        stats.seen.fetch_add(count, Relaxed);
        let events = events(&vec![80; count as usize]).into_iter();
        batch.extend(events.map(Record::Connection));
        Ok(if self.0 == 0 { Next::End } else { Next::More })
    }
}

/// Runs a flood through a plugin that never answers. Returns the time and the summary.
fn flood(
    settings: &str,
    is_lossless: bool,
    events: u64,
) -> (Duration, Arc<Stats>, anyhow::Result<()>) {
    let limits = Limits {
        window: Duration::ZERO,
        ..short()
    };
    let host = Host::new(limits).with("loop.wasm", module(&["loop"]), settings);
    let plugins = host.load().unwrap();
    let stats = Arc::new(Stats::new(plugins.names()));
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        is_lossless,
        ..Options::new(Format::Json, Some(folder.path().to_owned()), true)
    };
    let output = Output::open(&options, stats.clone(), || ()).unwrap();
    let pipeline = Pipeline {
        source: Box::new(Flood(events)),
        enrich: None,
        exclude: Exclude::parse([""; 0]).unwrap(),
        plugins,
        output,
        count: None,
        is_lossless,
        own: None,
    };
    let start = Instant::now();
    let result = pipeline.run(&Stop::new().unwrap(), &stats);
    (start.elapsed(), stats, result)
}

#[test]
fn a_slow_plugin_does_not_block_capture() {
    let (time, stats, result) = flood("", false, EVENTS);
    result.unwrap();
    // Through the plugin it would be 200 batches of 200 ms each.
    assert!(time < Duration::from_secs(20), "{time:?}");
    assert_eq!(stats.unaccounted(), 0, "{stats}");
    assert_eq!(stats.written.load(Relaxed), EVENTS);
    assert_eq!(stats.plugins[0].skipped.load(Relaxed), EVENTS);
    assert!(stats.plugins[0].faults.load(Relaxed) > 0);
}

#[test]
fn on_fault_drop_drops_the_events_of_a_failing_tick() {
    let (_, stats, result) = flood(":on_fault=drop", false, EVENTS);
    result.unwrap();
    assert_eq!(stats.unaccounted(), 0, "{stats}");
    assert_eq!(stats.plugins[0].dropped.load(Relaxed), EVENTS);
}

#[test]
fn on_fault_halt_ends_lightmon_after_a_failing_tick() {
    let (_, stats, result) = flood(":on_fault=halt", false, EVENTS);
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("plugin loop "), "{error}");
    assert_eq!(stats.unaccounted(), 0, "{stats}");
}

/// A replay waits for its plugins: no event bypasses a plugin.
#[test]
fn a_replay_waits_for_its_plugins() {
    let (time, stats, result) = flood("", true, 1000);
    result.unwrap();
    assert!(time >= Duration::from_millis(400), "{time:?}");
    let plugin = &stats.plugins[0];
    assert_eq!(
        plugin.faults.load(Relaxed),
        4,
        "each of its batches was tried"
    );
    assert_eq!(
        (stats.unaccounted(), plugin.skipped.load(Relaxed)),
        (0, 1000)
    );
}
