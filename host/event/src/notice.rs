//! Notices: records in the event stream that are not connections, such as a loss or a failed self-test.
//! Notices do not go through exclude and plugins, and are not counted as events.

use std::fmt;

use jiff::Timestamp;

/// A notice. Its text says everything but the time.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Connections were lost, or the starts of processes were.
    Lost {
        /// Where they were lost.
        place: LostIn,
        /// How many were lost, and when.
        lost: Lost,
    },
    /// The self-test failed: connections may be missing.
    Blind {
        /// When the self-test ended.
        time: Timestamp,
        /// What the self-test did not see.
        reason: String,
    },
    /// The self-test passes again.
    Sighted {
        /// When the self-test ended.
        time: Timestamp,
    },
    /// A report of a plugin.
    Report {
        /// When the plugin was asked for reports.
        time: Timestamp,
        /// Name of the plugin.
        plugin: String,
        /// Name of the report.
        report: String,
        /// Content of the report. No two fields have the same name.
        fields: Vec<(String, String)>,
    },
}

/// What was lost between two readings of the counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost {
    /// The earlier reading.
    pub since: Timestamp,
    /// The later reading, which found the loss.
    pub until: Timestamp,
    /// Lost connections.
    pub connections: u64,
    /// Lost forks and execs. Connections of these processes may lack path and arguments.
    pub processes: u64,
}

/// Where connections are lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LostIn {
    /// The kernel program had no room for them.
    Kernel,
    /// The sink did not take them.
    Output,
}

impl LostIn {
    /// The word for the place.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Output => "output",
        }
    }
}

impl Notice {
    /// The word for the kind of notice.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Blind { .. } => "blind",
            Self::Sighted { .. } => "sighted",
            Self::Report { .. } => "report",
        }
    }

    /// The time of the notice.
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Lost { lost, .. } => lost.until,
            Self::Blind { time, .. } | Self::Sighted { time } | Self::Report { time, .. } => *time,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { place, lost } => {
                let connections = Count(lost.connections, ["connection", "connections"]);
                let processes = Count(
                    lost.processes,
                    ["start of a process", "starts of processes"],
                );
                match (lost.connections, lost.processes) {
                    (_, 0) => write!(f, "lost {connections}")?,
                    (0, _) => write!(f, "lost {processes}")?,
                    _ => write!(f, "lost {connections} and {processes}")?,
                }
                f.write_str(match place {
                    LostIn::Kernel => ": the kernel's buffer was full",
                    LostIn::Output => ": the output took no more",
                })
            }
            Self::Blind { reason, .. } => write!(f, "self-test failed: {reason}"),
            Self::Sighted { .. } => f.write_str("self-test passed"),
            Self::Report {
                plugin,
                report,
                fields,
                ..
            } => {
                write!(f, "{plugin}: {report}")?;
                fields
                    .iter()
                    .try_for_each(|(key, text)| write!(f, " {key}={text}"))
            }
        }
    }
}

/// A number of things, with the singular and the plural of their name.
struct Count(u64, [&'static str; 2]);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, [one, many]) = self;
        write!(f, "{n} {}", if *n == 1 { one } else { many })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_loss() {
        let text = |place, connections, processes| {
            let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
            let lost = Lost {
                since,
                until,
                connections,
                processes,
            };
            Notice::Lost { place, lost }.to_string()
        };
        assert_eq!(
            text(LostIn::Kernel, 12, 1),
            "lost 12 connections and 1 start of a process: the kernel's buffer was full"
        );
        assert_eq!(
            text(LostIn::Kernel, 0, 3),
            "lost 3 starts of processes: the kernel's buffer was full"
        );
        assert_eq!(
            text(LostIn::Output, 1, 0),
            "lost 1 connection: the output took no more"
        );
    }
}
