//! The loads under which the tools are measured.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{kind::Kind, report::Report};

/// The destination port of the first process of a load. Each further process uses the next port.
pub(super) const PORT: u16 = 20_000;
/// The number of processes of a load: the number of cores of the machine of the published figures.
pub(super) const PROCESSES: u16 = 2;

/// Connections of one kind, at a rate or at full speed.
pub(super) struct Load {
    /// Its name in the results and on the command line.
    pub(super) name: &'static str,
    /// Its name in the table and the chart.
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    rate: Option<u32>,
    count: u32,
    quick: u32,
}

const fn load(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    rate: Option<u32>,
    count: u32,
    quick: u32,
) -> Load {
    Load {
        name,
        title,
        kind,
        rate,
        count,
        quick,
    }
}

pub(super) const LOADS: [Load; 8] = [
    load("tcp-1000", "TCP 1,000/s", Kind::Tcp, Some(1000), 5000, 2000),
    load(
        "tcp-5000",
        "TCP 5,000/s",
        Kind::Tcp,
        Some(5000),
        20_000,
        10_000,
    ),
    load(
        "tcp-20000",
        "TCP 20,000/s",
        Kind::Tcp,
        Some(20_000),
        80_000,
        40_000,
    ),
    load("tcp", "TCP full speed", Kind::Tcp, None, 1_000_000, 100_000),
    load("tcp6", "TCP over IPv6", Kind::Tcp6, None, 200_000, 50_000),
    load("refused", "refused", Kind::Refused, None, 200_000, 50_000),
    load("udp", "UDP full speed", Kind::Udp, None, 1_000_000, 100_000),
    load("exec", "fork+exec", Kind::Exec, None, 10_000, 2000),
];

impl Load {
    /// Opens its connections, in a separate network namespace. `program` is the path of this program.
    ///
    /// # Errors
    /// If a connection fails: the results would then mean nothing.
    pub(super) fn run(&self, program: &Path, is_quick: bool) -> anyhow::Result<Report> {
        let kind = serde_json::to_value(self.kind)?;
        let count = if is_quick { self.quick } else { self.count };
        let mut command = Command::new(program);
        command
            .args([
                "run",
                kind.as_str().expect("invariant: a name"),
                "--own-network",
                "--json",
            ])
            .args(["--count", &count.to_string()])
            .args([
                "--port",
                &PORT.to_string(),
                "--processes",
                &PROCESSES.to_string(),
            ]);
        if let Some(rate) = self.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .context("start the load")?;
        let report: Report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("load {}: it has ended with {}", self.name, output.status))?;
        ensure!(report.failed() == 0, "load {}: {report}", self.name);
        Ok(report)
    }

    /// Whether it uses TCP over IPv4, at a rate or at full speed: the most common load.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Tcp)
    }
}
