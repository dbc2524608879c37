//! The options of an output. Opens nothing; knows no command line and no configuration file.

use std::{env, fs, path::PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use crate::{Format, Formatter, Terminal};

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an event is written as.
    pub format: Format,
    /// The directory for log files, for the formats `log` and `json`; `None` for standard output. A table always goes to
    /// standard output.
    pub log_path: Option<PathBuf>,
    /// Whether a table has a column for tags: if plugins are loaded.
    pub tags: bool,
    /// Whether a table shows a container in a pod as namespace/pod/container.
    pub pods: bool,
    /// The container labels in a line of the log.
    pub labels: Vec<String>,
    /// Whether the pipeline waits for a slow reader as long as it takes: a replay's events are safe in its file meanwhile.
    pub is_lossless: bool,
    /// The zone of all times shown, and of the log files' hours.
    pub zone: TimeZone,
    /// The terminal behind standard output.
    pub terminal: Terminal,
    /// The clock that log files are named by.
    pub clock: fn() -> Timestamp,
}

impl Options {
    /// Options with the system's clock, zone and terminal, for a run that is not lossless.
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

    pub(crate) fn formatter(&self) -> Formatter {
        Formatter::new(self.format, self.zone.clone(), self.terminal, self.tags)
            .with_pods(self.pods)
            .with_labels(self.labels.clone())
    }
}

/// The system's time zone, without its name: jiff would read all zones of the system to find the name.
pub fn zone() -> TimeZone {
    let local = || TimeZone::tzif("", &fs::read("/etc/localtime").ok()?).ok();
    match env::var_os("TZ") {
        Some(_) => None,
        None => local(),
    }
    .unwrap_or_else(TimeZone::system)
}
