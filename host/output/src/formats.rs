//! The formats: what an event looks like as a line. Each format is a file in this folder and a line in the lists below.
//! Writes nothing anywhere: where a line goes is up to the sinks.

mod json;
mod log;
mod table;

use std::{fmt, str::FromStr};

use jiff::tz::TimeZone;
use lightmon_event::{Event, Notice, escape};

use crate::Terminal;

/// What an event is written as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// The original lightmon's log.
    #[default]
    Log,
    /// All that is known, for programs.
    Json,
    /// Columns, for people.
    Table,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Log, Self::Json, Self::Table];

    /// The name on the command line and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Json => "json",
            Self::Table => "table",
        }
    }

    /// Another name that is accepted.
    pub const fn alias(self) -> Option<&'static str> {
        match self {
            Self::Log => Some("logfile"),
            Self::Json | Self::Table => None,
        }
    }

    /// What the format is, in one line of help.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Log => "The original lightmon's log: one JSON object a line",
            Self::Json => "One JSON object a line, with all that is known",
            Self::Table => "Columns for people",
        }
    }

    fn formatting(self, settings: &Settings) -> Box<dyn Formatting> {
        match self {
            Self::Log => log::new(settings),
            Self::Json => json::new(settings),
            Self::Table => table::new(settings),
        }
    }
}

/// The name of a format that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("no format is called `{}`: use `log` (or `logfile`), `json` or `table`", escape::Text(.0))]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name || format.alias() == Some(name))
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// What a format has to do.
trait Formatting: fmt::Debug + Send {
    /// Appends what comes before a batch, such as a header.
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    /// Appends the line of an event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Appends a line that a plugin has written in an event's place.
    fn plugin_line(&mut self, line: &str, out: &mut Vec<u8>) {
        escape::line(line, out);
        out.push(b'\n');
    }

    /// Appends the line of a notice.
    fn notice(&self, notice: &Notice, out: &mut Vec<u8>);
}

/// What formats can be asked for. Each uses what it has a use for.
#[derive(Debug)]
struct Settings {
    /// The zone of all times shown.
    zone: TimeZone,
    terminal: Terminal,
    /// Whether the table has a column for tags.
    tags: bool,
    /// Whether the table shows a container in a pod as namespace/pod/container.
    pods: bool,
    /// The container labels in a line of the log.
    labels: Vec<String>,
}

/// Turns events into lines, without writing them anywhere.
#[derive(Debug)]
pub struct Formatter {
    format: Format,
    settings: Settings,
    formatting: Box<dyn Formatting>,
}

impl Formatter {
    /// A formatter for one format. `terminal` and `tags` are for the table; `zone` is the zone of all times shown.
    pub fn new(format: Format, zone: TimeZone, terminal: Terminal, tags: bool) -> Self {
        let settings = Settings {
            zone,
            terminal,
            tags,
            pods: false,
            labels: Vec::new(),
        };
        let formatting = format.formatting(&settings);
        Self {
            format,
            settings,
            formatting,
        }
    }

    /// Shows pods in the table's column of containers, if `pods`.
    pub fn with_pods(mut self, pods: bool) -> Self {
        self.settings.pods = pods;
        self.formatting = self.format.formatting(&self.settings);
        self
    }

    /// Puts the container labels with these keys into the lines of the log.
    pub fn with_labels(mut self, keys: Vec<String>) -> Self {
        self.settings.labels = keys;
        self.formatting = self.format.formatting(&self.settings);
        self
    }

    /// Appends what comes before a batch: the table's header, when one is due.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.formatting.begin(out);
    }

    /// Appends the line of a notice.
    pub fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        self.formatting.notice(notice, out);
    }

    /// Appends the line of an event: what a plugin has written, else the format's.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match &event.line {
            Some(line) => self.formatting.plugin_line(line, out),
            None => self.formatting.event(event, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_by_name_and_alias() {
        for (name, format) in [
            ("log", Format::Log),
            ("logfile", Format::Log),
            ("json", Format::Json),
            ("table", Format::Table),
        ] {
            assert_eq!(name.parse::<Format>().unwrap(), format);
        }
        assert_eq!(
            "tabel\x1b".parse::<Format>().unwrap_err().to_string(),
            r"no format is called `tabel\x1b`: use `log` (or `logfile`), `json` or `table`"
        );
    }
}
