//! `lightmon plugin bench`: measures the cost of a plugin under the limits and checks of a run. Compares with a closure in
//! lightmon, because such a ratio depends less on the machine than times do.

mod sample;

use std::{
    env, fs,
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::ValueHint;
use nix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::{Done, Usage, load, plugin::Plugin, print, recording, size};
use lightmon_event::{Event, Stats};
use lightmon_plugin_host::Limits;

/// Batch sizes that are measured, in events.
const BATCH_SIZES: [usize; 4] = [1, 8, 64, 256];

/// Events between two readings of the clock: a reading costs about as much as a call of a small plugin.
const EVENTS_PER_SAMPLE: usize = 256;

/// Measuring time for each batch size.
const MEASURE_TIME: Duration = Duration::from_millis(800);

/// Fewest and most samples for each batch size.
const SAMPLES: std::ops::Range<usize> = 10..4000;

/// Measure the cost of a plugin for each event
///
/// Takes a few seconds. Times are CPU times, with the deadlines, limits and checks of a run. `native` is the time that the same
/// machine needs to drop events by port in lightmon itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Use this plugin: a .wasm file, or a project to build
    #[arg(value_name = "PLUGIN[:KEY=VALUE,…]", default_value = ".")]
    plugin: String,

    /// Read events from FILE
    ///
    /// FILE has JSON lines, as `-f json` and `lightmon record` write them. Default: generated events with processes and containers.
    #[arg(value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Cost of an event, in nanoseconds.
struct Cost {
    batch: usize,
    median: f64,
    p99: f64,
}

pub(super) fn run(args: Args) -> anyhow::Result<Done> {
    let plugin = Plugin::open(&args.plugin)?;
    let events = match &args.file {
        Some(file) => recording::events(file)?,
        None => sample::events(),
    };
    if events.is_empty() {
        return Err(Usage("the recording has no events".to_owned()).into());
    }
    let limits = Limits::default();
    let cache = CacheFolder(env::temp_dir().join(format!("lightmon-bench-{}", std::process::id())));
    let began = Instant::now();
    drop(load::load_with(&plugin.spec, &limits, &cache.0)?);
    let cold = began.elapsed();
    let began = Instant::now();
    let mut chain = load::load_with(&plugin.spec, &limits, &cache.0)?;
    let warm = began.elapsed();
    let stats = Stats::new(chain.names());
    let mut costs = Vec::new();
    for batch in BATCH_SIZES {
        let mut result = Ok(());
        costs.push(measure(&events, batch, |events| {
            result = chain.run(events, &stats)
        })?);
        result?;
    }
    let native = measure(&events, 64, |events| {
        events.retain(|event| event.destination.port() != 53)
    })?;
    let count = &stats.plugins[0];
    let faults = count.faults.load(Relaxed);
    if faults > 0 {
        bail!("the plugin failed on {faults} batches; its cost cannot be measured");
    }
    let fuel = fuel(&plugin, &events, &cache)?;
    let memory = count.memory.load(Relaxed);
    let bytes = fs::metadata(&plugin.spec.path)
        .context("read the plugin")?
        .len();
    print(&if args.json {
        let costs: Vec<_> = costs.iter().map(|cost| json!({"batch": cost.batch, "p50Ns": cost.median.round(), "p99Ns": cost.p99.round()})).collect();
        format!(
            "{}\n",
            json!({
                "plugin": plugin.spec.path.display().to_string(),
                "bytes": bytes,
                "memory": memory,
                "fuel": fuel.round(),
                "coldLoadNs": cold.as_nanos() as u64,
                "warmLoadNs": warm.as_nanos() as u64,
                "events": events.len(),
                "costs": costs,
                "nativeNs": (native.median * 10.0).round() / 10.0,
            })
        )
    } else {
        let mut text = format!(
            "{}, {} of memory, {fuel:.0} instructions per event in batches of 64\nloaded in {cold:.1?}, and in {warm:.1?} from the cache of compiled plugins\n\nbatch   ns/event     p99   × native\n",
            size(bytes),
            size(memory),
        );
        for cost in &costs {
            let ratio = cost.median / native.median.max(0.1);
            text.push_str(&format!(
                "{:>5}   {:>8.0} {:>7.0}   {ratio:>8.0}\n",
                cost.batch, cost.median, cost.p99
            ));
        }
        text + &format!("native  {:>8.1} {:>7.1}\n", native.median, native.p99)
    })?;
    Ok(Done::Success)
}

/// Returns the WebAssembly instructions for each event, in one pass over the events. Unlike times, they are the same on every
/// machine.
fn fuel(plugin: &Plugin, events: &[Event], cache: &CacheFolder) -> anyhow::Result<f64> {
    let limits = Limits {
        metered: true,
        // Metering is slower.
        batch: Duration::from_secs(10),
        ..Limits::default()
    };
    let mut chain = load::load_with(&plugin.spec, &limits, &cache.0)?;
    let stats = Stats::new(chain.names());
    for batch in events.chunks(64) {
        chain.run(&mut batch.to_vec(), &stats)?;
    }
    Ok(stats.plugins[0].fuel.load(Relaxed) as f64 / events.len() as f64)
}

/// Runs the events repeatedly, in batches of this size.
fn measure(
    events: &[Event],
    batch: usize,
    mut run: impl FnMut(&mut Vec<Event>),
) -> anyhow::Result<Cost> {
    let mut costs = Vec::new();
    let mut pool = events.iter().cycle();
    let began = Instant::now();
    // The first samples warm the caches up.
    let warm_up = SAMPLES.start;
    while costs.len() < warm_up + SAMPLES.start
        || (costs.len() < SAMPLES.end && began.elapsed() < MEASURE_TIME)
    {
        let mut batches: Vec<Vec<Event>> = (0..EVENTS_PER_SAMPLE.div_ceil(batch))
            .map(|_| pool.by_ref().take(batch).cloned().collect())
            .collect();
        let time = cpu_time()?;
        for batch in &mut batches {
            run(batch);
        }
        let time = cpu_time()?.saturating_sub(time);
        costs.push(time.as_nanos() as f64 / EVENTS_PER_SAMPLE as f64);
    }
    costs.drain(..warm_up);
    costs.sort_by(f64::total_cmp);
    let quantile = |percent: usize| costs[(costs.len() - 1) * percent / 100];
    Ok(Cost {
        batch,
        median: quantile(50),
        p99: quantile(99),
    })
}

/// Returns the CPU time of this thread.
fn cpu_time() -> anyhow::Result<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("read the CPU time")?;
    Ok(time.into())
}

/// The cache of compiled plugins. Dropping deletes it.
struct CacheFolder(PathBuf);

impl Drop for CacheFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_batches_have_the_given_size() {
        let events = sample::events();
        let (mut calls, mut seen) = (0, 0);
        let cost = measure(&events, 8, |events| {
            assert_eq!(events.len(), 8);
            (calls, seen) = (calls + 1, seen + events.len());
        })
        .unwrap();
        assert!(calls >= EVENTS_PER_SAMPLE / 8 * SAMPLES.start && seen == calls * 8);
        assert!(cost.p99 >= cost.median);
    }
}
