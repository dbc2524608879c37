//! What is no event but belongs among them: that some are missing, or that none can be seen.
//! Passes by exclude and plugins, and is in no balance.

use std::fmt;

use jiff::Timestamp;

/// One notice. Its text says it all but the time.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Connections are missing in what was written, or what processes run is not known.
    Lost {
        /// Where they went.
        place: LostIn,
        /// How many, and when.
        lost: Lost,
    },
    /// Connections that are made are not seen.
    Blind {
        /// Since when that is known.
        time: Timestamp,
        /// What was not seen.
        reason: String,
    },
    /// They are seen again.
    Sighted {
        /// Since when that is known.
        time: Timestamp,
    },
    /// A plugin has something to say of its own.
    Report {
        /// When it was asked.
        time: Timestamp,
        /// What messages call it.
        plugin: String,
        /// What it is about.
        report: String,
        /// What it says; no two have the same name.
        fields: Vec<(String, String)>,
    },
}

/// What a source knows that it has missed, between two looks at its counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost {
    /// The look before.
    pub since: Timestamp,
    /// The look that found it.
    pub until: Timestamp,
    /// Connections that are not reported.
    pub connections: u64,
    /// Starts of processes and programs: their connections may lack path and arguments.
    pub processes: u64,
}

/// Where connections are lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LostIn {
    /// The kernel program had no room for them.
    Kernel,
    /// What they should have been written to did not take them.
    Output,
}

impl LostIn {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Output => "output",
        }
    }
}

impl Notice {
    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Blind { .. } => "blind",
            Self::Sighted { .. } => "sighted",
            Self::Report { .. } => "report",
        }
    }

    /// When it became known.
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
            Self::Blind { reason, .. } => write!(f, "blind: {reason}"),
            Self::Sighted { .. } => f.write_str("sighted again"),
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

/// So many of something, which is called this when it is one, and that when it is not.
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
    fn losses_are_said_in_words() {
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
