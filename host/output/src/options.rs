//! What the output is told before it begins. Opens nothing.

use std::{env, fs, path::PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use super::{Format, Formatter, Terminal};

/// What to write, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an event is written as.
    pub format: Format,
    /// The directory for log files, with the formats `log` and `json`; standard output without one. A table always goes to
    /// standard output.
    pub log_path: Option<PathBuf>,
    /// Whether a table has a column for tags: plugins are loaded.
    pub tags: bool,
    /// Whether a table shows a container in a pod as namespace/pod/container.
    pub pods: bool,
    /// The labels of containers that a log has.
    pub labels: Vec<String>,
    /// Whether a slow reader is waited for as long as it takes: events come from a file, and don't get lost there.
    pub is_lossless: bool,
    /// The zone of all times shown, and of the log files' hours.
    pub zone: TimeZone,
    /// What standard output is.
    pub terminal: Terminal,
    /// The time by which log files are named.
    pub clock: fn() -> Timestamp,
}

impl Options {
    /// In the system's time and zone, for the terminal there is, without patience.
    pub fn new(format: Format, log_path: Option<PathBuf>, tags: bool) -> Self {
        Self {
            format,
            log_path,
            tags,
            pods: false,
            labels: Vec::new(),
            is_lossless: false,
            zone: zone(),
            terminal: Terminal::of_stdout(),
            clock: Timestamp::now,
        }
    }

    pub(super) fn formatter(&self) -> Formatter {
        Formatter::new(self.format, self.zone.clone(), self.terminal, self.tags)
            .with_pods(self.pods)
            .with_labels(self.labels.clone())
    }
}

/// The system's time zone. jiff would look through all zones that there are to find what this one is called, which nobody asks.
pub fn zone() -> TimeZone {
    let local = || TimeZone::tzif("", &fs::read("/etc/localtime").ok()?).ok();
    match env::var_os("TZ") {
        Some(_) => None,
        None => local(),
    }
    .unwrap_or_else(TimeZone::system)
}
