//! What one plugin has done and cost.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::escape;

/// One plugin's counters.
#[derive(Debug, Default)]
pub struct Plugin {
    /// What messages call it.
    pub name: String,
    /// Calls with a batch, those that failed included.
    pub calls: AtomicU64,
    /// Events in these calls.
    pub events: AtomicU64,
    /// Events that it dropped, or that were dropped because it failed.
    pub dropped: AtomicU64,
    /// Tags that it set.
    pub tagged: AtomicU64,
    /// Batches that it failed on: traps, deadlines, memory.
    pub faults: AtomicU64,
    /// Events that went without its verdict: it failed on them, was left out, or could not keep up.
    pub skipped: AtomicU64,
    /// Events of these that are kept for its author.
    pub letters: AtomicU64,
    /// How often it was started again.
    pub restarts: AtomicU64,
    /// Decisions that were ignored: index out of range, too large, unknown field.
    pub ignored: AtomicU64,
    /// Most bytes of memory that it has had.
    pub memory: AtomicU64,
    /// What it has executed, about one an instruction; only where it is [counted](lightmon_plugin_host::Limits::metered).
    pub fuel: AtomicU64,
    /// What it counts itself, by its own names.
    counters: Mutex<BTreeMap<String, u64>>,
    /// Nanoseconds an event, of all calls.
    time: Histogram,
}

impl Plugin {
    /// All zero.
    pub fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Counts a call with so many events.
    pub fn called(&self, events: usize, time: Duration, memory: usize) {
        let events = events as u64;
        self.calls.fetch_add(1, Relaxed);
        self.events.fetch_add(events, Relaxed);
        self.memory.fetch_max(memory as u64, Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.time.add(nanoseconds / events.max(1));
    }
}

impl Plugin {
    /// Adds to one of its own counters.
    pub fn add(&self, name: &str, delta: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        match counters.get_mut(name) {
            Some(sum) => *sum = sum.saturating_add(delta),
            None => drop(counters.insert(name.to_owned(), delta)),
        }
    }

    /// Its own counters, by their names.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// `geoip: 12 calls, 3000 events, 210 ns an event (p99 480), 2997 tags, 1 fault, 1 restart, 40 skipped, 1 dead letter, 3 MiB`: of
/// what stands between the times and the memory only what there was. At the end what it counts itself: `, suppressed 12`.
impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [calls, events, memory] =
            [&self.calls, &self.events, &self.memory].map(|n| n.load(Relaxed));
        write!(
            f,
            "{}: {}, {}, {} ns an event (p99 {})",
            self.name,
            counted(calls, "call", "calls"),
            counted(events, "event", "events"),
            self.time.quantile(50),
            self.time.quantile(99),
        )?;
        for (count, one, more) in [
            (&self.tagged, "tag", "tags"),
            (&self.dropped, "dropped", "dropped"),
            (&self.ignored, "decision ignored", "decisions ignored"),
            (&self.faults, "fault", "faults"),
            (&self.restarts, "restart", "restarts"),
            (&self.skipped, "skipped", "skipped"),
            (&self.letters, "dead letter", "dead letters"),
        ] {
            match count.load(Relaxed) {
                0 => {}
                n => write!(f, ", {}", counted(n, one, more))?,
            }
        }
        write!(f, ", {} MiB", memory.div_ceil(1 << 20))?;
        for (name, sum) in self.counters() {
            write!(f, ", {} {sum}", escape::Text(&name))?;
        }
        Ok(())
    }
}

fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// Counts numbers by their size: each bucket is a quarter of a power of two, so that what is told is at most 19 % more than
/// what was.
#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

const BUCKETS: usize = 4 * 64;

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    fn add(&self, number: u64) {
        self.0[bucket(number)].fetch_add(1, Relaxed);
    }

    /// The upper end of the bucket that this percentage of the numbers is not above; 0 of none.
    fn quantile(&self, percent: u64) -> u64 {
        let counts: Vec<u64> = self.0.iter().map(|n| n.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut below = 0;
        for (bucket, count) in counts.iter().enumerate() {
            below += count;
            if below >= wanted && *count > 0 {
                return end(bucket);
            }
        }
        0
    }
}

fn bucket(number: u64) -> usize {
    if number < 4 {
        return number as usize;
    }
    let power = number.ilog2();
    let quarter = (number >> (power - 2)) & 3;
    (4 * (power - 1) + quarter as u32) as usize
}

/// The largest number in a bucket.
fn end(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (power, quarter) = (bucket as u32 / 4 + 1, bucket as u64 % 4);
    let width = 1_u64 << (power - 2);
    (1_u64 << power) + quarter * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plugin_in_one_line() {
        let plugin = Plugin::new("geoip".to_owned());
        assert_eq!(
            plugin.to_string(),
            "geoip: 0 calls, 0 events, 0 ns an event (p99 0), 0 MiB"
        );
        for nanoseconds in 1..=100 {
            plugin.called(10, Duration::from_nanos(1000 * nanoseconds), 1 << 20);
        }
        // 5,000 and 9,900 ns, as their buckets end.
        assert_eq!(
            plugin.to_string(),
            "geoip: 100 calls, 1000 events, 5119 ns an event (p99 10239), 1 MiB"
        );
        for count in [
            &plugin.tagged,
            &plugin.dropped,
            &plugin.ignored,
            &plugin.faults,
            &plugin.restarts,
            &plugin.skipped,
            &plugin.letters,
        ] {
            count.fetch_add(1, Relaxed);
        }
        plugin.tagged.fetch_add(1, Relaxed);
        assert_eq!(
            plugin.to_string(),
            "geoip: 100 calls, 1000 events, 5119 ns an event (p99 10239), 2 tags, 1 dropped, 1 decision ignored, 1 fault, 1 restart, \
             1 skipped, 1 dead letter, 1 MiB"
        );
        for (name, delta) in [
            ("seen", 1),
            ("most\n", u64::MAX),
            ("most\n", 1),
            ("seen", 2),
        ] {
            plugin.add(name, delta);
        }
        assert!(
            plugin
                .to_string()
                .ends_with(", 1 MiB, most\\n 18446744073709551615, seen 3"),
            "{plugin}"
        );
    }

    proptest! {
        #[test]
        fn buckets_are_narrow(number: u64) {
            let end = end(bucket(number));
            prop_assert!(end >= number && end - number <= number / 4);
            prop_assert!(bucket(end) == bucket(number) && (end == u64::MAX || bucket(end + 1) == bucket(number) + 1));
        }
    }
}
