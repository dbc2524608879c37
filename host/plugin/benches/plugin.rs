//! Measures the time of a plugin for an event, and of the same work in native code: drop by port, tag by address, build a JSON line.
//! All limits are on: deadline, memory, stack, checked actions, counters.
//!
//! `make bench-plugins` builds the plugin and prints the table.

#[path = "../../agent/benches/stages/events.rs"]
mod events;

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bench_guest::{PORT, country, line::Line};
use lightmon_event::{Event, Stats};
use lightmon_plugin_host::{Chain, Limits, Spec};

use self::events::event;

/// Events in a batch.
const BATCH_SIZES: [usize; 4] = [1, 8, 64, 256];

/// Each figure is the median of this number of rounds.
const ROUNDS: usize = 41;

fn main() {
    let wasm = std::env::var_os("LIGHTMON_BENCH_GUEST").map(PathBuf::from);
    let Some(wasm) = wasm.filter(|path| path.is_file()) else {
        print("LIGHTMON_BENCH_GUEST does not name a file: run `make bench-plugins`");
        return;
    };
    let events: Vec<Event> = (0..256).map(event).collect();
    print(&format!(
        "{:<8}{:>8}{:>12}{:>12}{:>8}",
        "work", "batch", "plugin ns", "native ns", "ratio"
    ));
    for (mode, native) in [
        ("drop", drop_by_port as fn(&mut Vec<Event>)),
        ("tag", tag_by_address),
        ("line", build_line),
    ] {
        let mut runner = Runner::load(&wasm, mode);
        for size in BATCH_SIZES {
            let plugin = median(&events[..size], |batch| runner.run(batch));
            let native = median(&events[..size], native);
            print(&format!(
                "{mode:<8}{size:>8}{plugin:>12.0}{native:>12.0}{:>8.1}",
                plugin / native
            ));
        }
    }
    loads(&wasm);
    batch_after_a_trap(&wasm, &events);
    chains(&wasm, &events);
}

/// Measures the share of a core that four plugins in a row need at 50,000 events a second, and their memory over ten million events.
fn chains(wasm: &Path, events: &[Event]) {
    let of = |file: &str| {
        let plugins = wasm.parent().expect("a folder");
        plugins.join(file).display().to_string()
    };
    let bench_guest = |mode: &str| format!("{}:mode={mode}", wasm.display());
    for (name, specs) in [
        (
            "drop, tag, drop, tag",
            ["drop", "tag", "drop", "tag"].map(bench_guest),
        ),
        (
            "geoip, blocklist, redact, dedupe",
            [
                of("geoip.wasm"),
                of("blocklist.wasm:networks=203.0.113.0/24"),
                of("redact.wasm"),
                of("dedupe.wasm:window=3600"),
            ],
        ),
    ] {
        let mut runner = Runner::chain(&specs);
        let (mut done, mut early) = (0_u64, 0);
        let mut time = Duration::ZERO;
        while done < 10_000_000 {
            let mut batch = events[..64].to_vec();
            let began = Instant::now();
            runner.run(black_box(&mut batch));
            time += began.elapsed();
            done += 64;
            if done == 1_000_000 / 64 * 64 {
                early = resident_kib();
            }
        }
        let event = time.as_nanos() as f64 / done as f64;
        print(&format!(
            "{name}: {event:.0} ns an event, {:.1} % of a core at 50,000 a second; resident {} KiB after a million events, {} KiB after ten",
            event * 50_000.0 / 1e7,
            early,
            resident_kib()
        ));
    }
}

/// The resident memory of this process in KiB (`VmRSS`, proc_pid_status(5)).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).expect("VmRSS in KiB")
}

/// Measures the time to load a plugin: compiled, and from the cache.
fn loads(wasm: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = wasm.parent().expect("a folder");
    for (name, spec) in [
        ("this guest", format!("{}:mode=drop", wasm.display())),
        ("geoip", shipped.join("geoip.wasm").display().to_string()),
        ("redact", shipped.join("redact.wasm").display().to_string()),
    ] {
        let spec: Spec = spec.parse().expect("a spec");
        let mut times: Vec<Duration> = (0..22)
            .map(|_| {
                let began = Instant::now();
                let chain = load(std::slice::from_ref(&spec), Some(folder.path()));
                let time = began.elapsed();
                drop(chain);
                time
            })
            .collect();
        let cold = times.remove(0);
        times.sort_unstable();
        print(&format!(
            "{name}: ready in {cold:?} compiled, {:?} from the cache (median of {})",
            times[times.len() / 2],
            times.len()
        ));
    }
}

fn load(specs: &[Spec], cache: Option<&Path>) -> Chain {
    Chain::load(specs, &Limits::default(), cache, |_| {
        Err("no expressions here".to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Measures the wall time of a batch after a batch that trapped: a new instance is started for it.
fn batch_after_a_trap(wasm: &Path, events: &[Event]) {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let mut runner = Runner::load(wasm, "trap");
            let mut good = vec![events[1].clone(); 64];
            runner.run(&mut good.clone());
            runner.run(&mut vec![at_port(PORT)]);
            let began = Instant::now();
            runner.run(&mut good);
            let time = began.elapsed();
            assert!(good[0].tags.is_empty() || good[0].tags[0].0 != "plugin_skipped");
            time
        })
        .collect();
    times.sort_unstable();
    print(&format!(
        "after a trap the next batch of 64 took {:?} (median), {:?} (worst of {})",
        times[times.len() / 2],
        times[times.len() - 1],
        times.len()
    ));
}

struct Runner {
    chain: Chain,
    stats: Stats,
}

impl Runner {
    fn load(wasm: &Path, mode: &str) -> Self {
        Self::chain(&[format!("{}:mode={mode}", wasm.display())])
    }

    fn chain(specs: &[String]) -> Self {
        let specs: Vec<Spec> = specs
            .iter()
            .map(|spec| spec.parse().unwrap_or_else(|error| panic!("{error}")))
            .collect();
        let chain = load(&specs, None);
        let stats = Stats::new(chain.names());
        Self { chain, stats }
    }

    fn run(&mut self, batch: &mut Vec<Event>) {
        self.chain
            .run(batch, &self.stats)
            .unwrap_or_else(|halt| panic!("{halt}"));
    }
}

/// Nanoseconds for an event: the median of the rounds. Copying the batch is not measured.
fn median(events: &[Event], mut run: impl FnMut(&mut Vec<Event>)) -> f64 {
    let calls = (4096 / events.len()).max(16);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut batches: Vec<Vec<Event>> = (0..calls).map(|_| events.to_vec()).collect();
            let began = Instant::now();
            for batch in &mut batches {
                run(black_box(batch));
            }
            let time = began.elapsed();
            black_box(batches);
            time.as_nanos() as f64 / (calls * events.len()) as f64
        })
        .collect();
    rounds.sort_unstable_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn drop_by_port(batch: &mut Vec<Event>) {
    batch.retain(|event| event.destination.port() != PORT);
}

fn tag_by_address(batch: &mut Vec<Event>) {
    for event in batch {
        let country = country::of(event.destination.ip());
        event.tag("geo", country);
    }
}

fn build_line(batch: &mut Vec<Event>) {
    for event in batch {
        let line = Line {
            time: event.time.as_nanosecond() as u64,
            latency: event.latency.map_or(0, |it| it.as_nanos() as u64),
            source: (event.source.ip(), event.source.port()),
            destination: (event.destination.ip(), event.destination.port()),
            pid: event.pid,
            uid: event.uid,
            user: event.user.as_deref().unwrap_or_default(),
            comm: &event.comm,
            path: event.process.path.as_deref().unwrap_or_default(),
            container: event.container.as_deref().map(|it| {
                let name = it.name.as_deref().unwrap_or_default();
                (&*it.id, name, it.image.as_deref().unwrap_or_default())
            }),
            outcome: "established",
        }
        .json(
            event
                .process
                .args
                .as_deref()
                .unwrap_or_default()
                .iter()
                .map(|arg| &**arg),
            event.tags.iter().map(|(k, v)| (&**k, &**v)),
        );
        event.line = Some(line);
    }
}

fn at_port(port: u16) -> Event {
    let mut event = event(0);
    event.destination.set_port(port);
    event
}

#[expect(clippy::print_stdout, reason = "a benchmark's output")]
fn print(line: &str) {
    println!("{line}");
}
