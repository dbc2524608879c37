//! The whole pipeline with its threads: from a recording or the kernel program's bytes to JSON lines in a file in memory.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use jiff::tz::TimeZone;
use lightmon::pipeline::Pipeline;
use lightmon_capture::{
    Next, Source,
    ebpf::decode::{Clock, Tasks},
    replay::Replay,
};
use lightmon_event::{Record, Stats};
use lightmon_filter::Exclude;
use lightmon_identity::{Identity, container::Containers};
use lightmon_output::{Format, Formatter, Options, Output, Terminal};
use lightmon_plugin_host::Chain;
use lightmon_thread::Stop;
use tempfile::TempDir;

use crate::{
    bench::{BATCH, Bench},
    events::event,
    plugin::chain,
    records,
};

/// Events per run: enough to make the cost of start and end negligible.
const EVENTS: usize = 4096;

/// The plugin of `make run`, and a chain of plugins that reads all fields.
const ONE: &[&str] = &["geoip.wasm"];
const FOUR: &[&str] = &[
    "scope.wasm",
    "geoip.wasm",
    "blocklist.wasm:networks=203.0.113.0/24",
    "redact.wasm",
];

pub(crate) fn stages(bench: &mut Bench<'_>) {
    // Only reads a recording.
    bench.stage("replay", EVENTS, || {
        let folder = recording();
        let (stop, stats, mut batch) = (stop(), Stats::default(), Vec::new());
        let input = move || open(&folder);
        let run = move |mut source: Replay| {
            while source
                .next(&mut batch, BATCH, &stop, &stats)
                .expect("a recording")
                == Next::More
            {
                batch.clear();
            }
        };
        (input, run)
    });
    for (name, plugins) in [
        ("pipeline-replay", &[][..]),
        ("pipeline-replay-1-plugin", ONE),
        ("pipeline-replay-4-plugins", FOUR),
    ] {
        let cache = bench.cache.map(Path::to_owned);
        bench.stage(name, EVENTS, || {
            let folder = recording();
            let output = folder.path().join("log");
            let input = move || (open(&folder), chain(plugins, cache.as_deref()));
            let run = move |(source, chain)| {
                run(Box::new(source), None, chain, &output);
            };
            (input, run)
        });
    }
    // Like a live run, but without the kernel.
    bench.stage("pipeline-live", EVENTS, || {
        let folder = folder();
        let bytes: Arc<[_]> = (0..EVENTS).map(records::connection).collect();
        let input = move || {
            let mut enrich = Identity::new(Containers::new());
            enrich.apply(records::known(), &mut Vec::new());
            let source = Recorded {
                bytes: bytes.clone(),
                next: 0,
                tasks: Tasks::default(),
            };
            (source, enrich)
        };
        let run = move |(source, enrich)| {
            run(
                Box::new(source),
                Some(enrich),
                chain(&[], None),
                folder.path(),
            );
        };
        (input, run)
    });
}

fn run(source: Box<dyn Source>, enrich: Option<Identity>, plugins: Chain, log_path: &Path) {
    let stats = Arc::new(Stats::new(plugins.names()));
    let options = Options {
        zone: TimeZone::UTC,
        terminal: Terminal::NONE,
        is_lossless: true,
        ..Options::new(Format::Json, Some(log_path.to_owned()), true)
    };
    let pipeline = Pipeline {
        source,
        enrich,
        exclude: Exclude::default(),
        plugins,
        output: Output::open(&options, stats.clone(), || ()).expect("a folder"),
        count: None,
        is_lossless: true,
        own: None,
    };
    pipeline.run(&stop(), &stats).expect("a run");
    assert!(stats.written.load(Relaxed) >= EVENTS as u64 * 9 / 10);
}

/// A source of the kernel program's records, without the kernel.
struct Recorded {
    bytes: Arc<[Vec<u8>]>,
    next: usize,
    tasks: Tasks,
}

impl Source for Recorded {
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        _stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next> {
        let clock = Clock::now();
        let bytes = &self.bytes[self.next..];
        let bytes = &bytes[..bytes.len().min(max.min(BATCH))];
        for bytes in bytes {
            batch.push(records::decode(bytes, &clock, &mut self.tasks));
        }
        self.next += bytes.len();
        stats.seen.fetch_add(bytes.len() as u64, Relaxed);
        Ok(if self.next < self.bytes.len() {
            Next::More
        } else {
            Next::End
        })
    }
}

fn stop() -> Stop {
    Stop::new().expect("an eventfd")
}

/// A file in memory: with a file on disk, the benchmark would measure the disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a folder in /dev/shm")
}

/// Writes a recording of the events to a temporary folder.
fn recording() -> TempDir {
    let folder = folder();
    let mut formatter = Formatter::new(Format::Json, TimeZone::UTC, Terminal::NONE, false);
    let mut lines = Vec::new();
    for n in 0..EVENTS {
        formatter.event(&event(n), &mut lines);
    }
    fs::write(folder.path().join("recording"), lines).expect("room for a recording");
    folder
}

fn open(folder: &TempDir) -> Replay {
    Replay::open(&folder.path().join("recording")).expect("a recording")
}
