//! The formats there are, and the one place that tells them apart.
//! Writes nothing anywhere; what a format looks like is its own file's business.

use std::str::FromStr;

use jiff::tz::TimeZone;

use lightmon_event::{
    Event, Notice, escape,
    json::{self, log},
};

use super::{Terminal, table};

/// What an event is written as.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// The original lightmon's log: one JSON object a line
    #[default]
    #[value(alias = "logfile")]
    Log,
    /// One JSON object a line, with all that is known
    Json,
    /// Columns for people
    Table,
}

/// No such format.
#[derive(Debug, thiserror::Error)]
#[error("no format is called `{}`: use `log` (or `logfile`), `json` or `table`", escape::Text(.0))]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "log" | "logfile" => Ok(Self::Log),
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// Turns events into lines, one each, without writing them anywhere.
#[derive(Debug)]
pub struct Formatter(Kind);

#[derive(Debug)]
enum Kind {
    Log(Box<log::Lines>),
    Json(Box<json::Lines>),
    Table(Box<table::Table>),
}

impl Formatter {
    /// For one format. `terminal` and `tags` are the table's, `zone` is that of all times shown.
    pub fn new(format: Format, zone: TimeZone, terminal: Terminal, tags: bool) -> Self {
        Self(match format {
            Format::Log => Kind::Log(log::Lines::new(zone).into()),
            Format::Json => Kind::Json(json::Lines::new(zone).into()),
            Format::Table => Kind::Table(table::Table::new(zone, terminal, tags).into()),
        })
    }

    /// With pods in the table's column of containers, if they are wanted.
    pub fn with_pods(mut self, pods: bool) -> Self {
        if let Kind::Table(table) = &mut self.0 {
            table.show_pods(pods);
        }
        self
    }

    /// With these labels of containers in the lines of a log.
    pub fn with_labels(mut self, keys: Vec<String>) -> Self {
        if let Kind::Log(lines) = &mut self.0 {
            lines.labels = keys;
        }
        self
    }

    /// Appends what comes before a batch: the table's header, where one is due.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Kind::Table(table) = &mut self.0 {
            table.begin(out);
        }
    }

    /// Appends a notice's line.
    pub fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Log(lines) => log::notice(notice, lines.zone(), out),
            Kind::Json(lines) => json::notice::write(notice, lines.zone(), out),
            Kind::Table(table) => table.notice(notice, out),
        }
    }

    /// Appends the event's line: what a plugin has written, or the format's.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match (&mut self.0, &event.line) {
            (Kind::Table(table), Some(line)) => table.line(line, out),
            (Kind::Log(_) | Kind::Json(_), Some(line)) => {
                escape::line(line, out);
                out.push(b'\n');
            }
            (Kind::Log(lines), None) => lines.event(event, out),
            (Kind::Json(lines), None) => lines.event(event, out),
            (Kind::Table(table), None) => table.event(event, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        for (name, format) in [
            ("log", Format::Log),
            ("logfile", Format::Log),
            ("json", Format::Json),
            ("table", Format::Table),
        ] {
            assert_eq!(name.parse::<Format>().unwrap(), format);
            assert_eq!(
                <Format as clap::ValueEnum>::from_str(name, false).unwrap(),
                format
            );
        }
        assert_eq!(
            "tabel\x1b".parse::<Format>().unwrap_err().to_string(),
            r"no format is called `tabel\x1b`: use `log` (or `logfile`), `json` or `table`"
        );
    }
}
