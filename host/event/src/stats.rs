//! The balance of a run: how many events came in, and what became of each. Each stage counts its own events.

mod plugin;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

pub use self::plugin::Plugin;

/// Counters of one run, shared by the stages. Each event is counted in [`seen`](Self::seen) and in exactly one other counter.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections that the source knows of, including lost ones.
    pub seen: AtomicU64,
    /// Written to the output.
    pub written: AtomicU64,
    /// Excluded in the kernel. A TCP connection is excluded when it begins, so it counts once even if it would have been pending.
    pub excluded_kernel: AtomicU64,
    /// Excluded in user space, of the connections that the kernel has let through.
    pub excluded_host: AtomicU64,
    /// Made by lightmon itself (self-test, container runtimes) and not reported.
    pub from_self: AtomicU64,
    /// Lost in the kernel: the ring buffer or a map was full.
    pub lost_kernel: AtomicU64,
    /// Lost because they could not be written.
    pub lost_output: AtomicU64,
    /// The counters of each plugin, in the order of the chain.
    pub plugins: Vec<Plugin>,
    /// Malformed records or lines in the source's input. Not part of the balance.
    pub malformed: AtomicU64,
    /// Hook runs that the kernel has skipped. Each may have missed an event. Not part of the balance.
    pub skipped: AtomicU64,
}

impl Stats {
    /// Counters at zero, with an entry for each plugin.
    pub fn new(plugins: impl IntoIterator<Item = String>) -> Self {
        let plugins = plugins.into_iter().map(Plugin::new).collect();
        Self {
            plugins,
            ..Self::default()
        }
    }

    /// Events that all plugins together have dropped.
    pub fn dropped(&self) -> u64 {
        self.plugins
            .iter()
            .map(|plugin| plugin.dropped.load(Relaxed))
            .sum()
    }

    /// Events that are still in the pipeline. At the end of a run this is 0, or else the balance is wrong.
    pub fn unaccounted(&self) -> u64 {
        let accounted: u64 = [
            &self.written,
            &self.excluded_kernel,
            &self.excluded_host,
            &self.from_self,
            &self.lost_kernel,
            &self.lost_output,
        ]
        .map(|n| n.load(Relaxed))
        .iter()
        .sum();
        (self.seen.load(Relaxed)).wrapping_sub(accounted + self.dropped())
    }
}

/// The exit summary, one line:
/// `seen 12 = written 6 + excluded 2 (kernel 1, host 1) + self 2 + dropped 1 (redact 1) + lost 1 (kernel 1, output 0)`,
/// without `self` if it is 0.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [
            seen,
            written,
            excluded_kernel,
            excluded_host,
            from_self,
            lost_kernel,
            lost_output,
            malformed,
            skipped,
        ] = [
            &self.seen,
            &self.written,
            &self.excluded_kernel,
            &self.excluded_host,
            &self.from_self,
            &self.lost_kernel,
            &self.lost_output,
            &self.malformed,
            &self.skipped,
        ]
        .map(|n| n.load(Relaxed));
        write!(
            f,
            "seen {seen} = written {written} + excluded {} (kernel {excluded_kernel}, host {excluded_host})",
            excluded_kernel + excluded_host
        )?;
        if from_self > 0 {
            write!(f, " + self {from_self}")?;
        }
        write!(f, " + dropped {}", self.dropped())?;
        for (i, plugin) in self.plugins.iter().enumerate() {
            let (start, end) = (
                if i == 0 { " (" } else { ", " },
                if i + 1 == self.plugins.len() { ")" } else { "" },
            );
            write!(f, "{start}{} {}", plugin.name, plugin.dropped.load(Relaxed))?;
            for (n, what) in [
                (&plugin.faults, "faults"),
                (&plugin.skipped, "skipped"),
                (&plugin.ignored, "ignored decisions"),
            ] {
                match n.load(Relaxed) {
                    0 => {}
                    n => write!(f, ", {what} {n}")?,
                }
            }
            write!(f, "{end}")?;
        }
        write!(
            f,
            " + lost {} (kernel {lost_kernel}, output {lost_output})",
            lost_kernel + lost_output
        )?;
        if malformed > 0 {
            write!(f, "; malformed input {malformed}")?;
        }
        if skipped > 0 {
            write!(f, "; hooks skipped {skipped}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_adds_up() {
        let stats = Stats::new(["geoip".to_owned(), "redact".to_owned()]);
        stats.seen.store(10, Relaxed);
        stats.written.store(6, Relaxed);
        stats.excluded_host.store(2, Relaxed);
        stats.plugins[1].dropped.store(1, Relaxed);
        stats.plugins[1].faults.store(3, Relaxed);
        assert_eq!(stats.unaccounted(), 1);
        stats.lost_kernel.store(1, Relaxed);
        assert_eq!(stats.unaccounted(), 0);
        assert_eq!(
            stats.to_string(),
            "seen 10 = written 6 + excluded 2 (kernel 0, host 2) + dropped 1 (geoip 0, redact 1, faults 3) + lost 1 (kernel 1, output 0)"
        );
        stats.skipped.store(4, Relaxed);
        assert!(stats.to_string().ends_with(" output 0); hooks skipped 4"));
        stats.from_self.store(2, Relaxed);
        assert_eq!(stats.unaccounted(), u64::MAX - 1);
        stats.seen.store(12, Relaxed);
        assert_eq!(stats.unaccounted(), 0);
        assert!(stats.to_string().starts_with(
            "seen 12 = written 6 + excluded 2 (kernel 0, host 2) + self 2 + dropped 1 ("
        ),);
        stats.excluded_kernel.store(3, Relaxed);
        assert_eq!(stats.unaccounted(), u64::MAX - 2);
        stats.seen.store(15, Relaxed);
        assert_eq!(stats.unaccounted(), 0);
        assert!(
            stats
                .to_string()
                .contains(" + excluded 5 (kernel 3, host 2) + self 2")
        );
    }
}
