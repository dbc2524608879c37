//! The tools that are compared: how each is started, and how its output is read.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    lines::Lines,
    loads::{Load, PORT, PROCESSES},
};
use crate::kind::Kind;

/// What the added time is measured against.
pub(super) const NOTHING: &str = "nothing attached";
pub(super) const LIGHTMON: &str = "lightmon";
pub(super) const BPFTRACE: &str = "bpftrace";
pub(super) const TCPLIFE: &str = "tcplife";
pub(super) const ORIGINAL: &str = "original";

/// Where the programs are; those that are not there are left out.
pub(super) struct Programs {
    pub(super) lightmon: PathBuf,
    /// The folder of lightmon's plugins.
    pub(super) plugins: PathBuf,
    /// A folder for what the tools keep from one start to the next, and for the scripts.
    pub(super) folder: PathBuf,
    pub(super) bpftrace: Option<PathBuf>,
    pub(super) tcplife: Option<PathBuf>,
    /// The lightmon that was written in Go.
    pub(super) original: Option<PathBuf>,
}

/// One way of being told of connections.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) lines: Lines,
    /// Whether it is put under this load.
    pub(super) takes: fn(&Load) -> bool,
    /// Its command line for connections of this kind; none where it is not to be had.
    pub(super) command: fn(&Programs, Kind) -> Option<Command>,
}

pub(super) const TOOLS: [Tool; 10] = [
    Tool {
        name: NOTHING,
        lines: Lines::Json,
        takes: |_| true,
        command: |_, _| None,
    },
    Tool {
        name: LIGHTMON,
        lines: Lines::Json,
        takes: |_| true,
        command: |programs, _| lightmon(programs, "json", &[]),
    },
    Tool {
        name: "lightmon, table",
        lines: Lines::Table,
        takes: Load::is_plain,
        command: |programs, _| lightmon(programs, "table", &[]),
    },
    Tool {
        name: "lightmon, log",
        lines: Lines::Json,
        takes: Load::is_plain,
        command: |programs, _| lightmon(programs, "log", &[]),
    },
    Tool {
        name: "lightmon, excluded",
        lines: Lines::Json,
        takes: |_| true,
        command: |programs, _| lightmon(programs, "json", &["--exclude", &ports()]),
    },
    Tool {
        name: "lightmon, 1 plugin",
        lines: Lines::Json,
        takes: Load::is_plain,
        command: |programs, _| with_plugins(programs, &["geoip.wasm"]),
    },
    Tool {
        name: "lightmon, 4 plugins",
        lines: Lines::Json,
        takes: Load::is_plain,
        command: |programs, _| {
            with_plugins(
                programs,
                &[
                    "geoip.wasm",
                    "blocklist.wasm:networks=203.0.113.0/24",
                    "redact.wasm",
                    "dedupe.wasm:window=3600",
                ],
            )
        },
    },
    Tool {
        name: BPFTRACE,
        lines: Lines::Columns,
        takes: |_| true,
        command: |programs, kind| {
            let mut command = Command::new(programs.bpftrace.as_ref()?);
            command.arg(programs.folder.join(script(kind).0));
            Some(command)
        },
    },
    Tool {
        name: TCPLIFE,
        lines: Lines::Columns,
        takes: |load| !matches!(load.kind, Kind::Udp),
        command: |programs, _| {
            let mut command = Command::new(programs.tcplife.as_ref()?);
            command.args(["--time", "--wide"]);
            Some(command)
        },
    },
    Tool {
        name: ORIGINAL,
        lines: Lines::Json,
        takes: |_| true,
        command: |programs, kind| {
            let mut command = Command::new(programs.original.as_ref()?);
            command.args(["-output", "json"]);
            if kind.is_ipv6() {
                command.arg("-v6");
            }
            Some(command)
        },
    },
];

/// bpftrace's script for connections of that kind, by its name in [`Programs::folder`]. One for each, so that neither pays for
/// the hooks of the other.
fn script(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Udp | Kind::UdpSend => ("udp.bt", include_str!("udp.bt")),
        Kind::Tcp | Kind::Tcp6 | Kind::Refused | Kind::Exec => ("tcp.bt", include_str!("tcp.bt")),
    }
}

impl Programs {
    /// Puts the scripts into the folder.
    ///
    /// # Errors
    /// When they can't be written.
    pub(super) fn write_scripts(&self) -> std::io::Result<()> {
        for (name, text) in [Kind::Tcp, Kind::Udp].map(script) {
            std::fs::write(self.folder.join(name), text)?;
        }
        Ok(())
    }
}

fn lightmon(programs: &Programs, format: &str, args: &[&str]) -> Option<Command> {
    let mut command = Command::new(&programs.lightmon);
    command
        .args(["-f", format])
        .args(args)
        .env("LIGHTMON_CACHE_DIR", programs.folder.join("cache"))
        .env("LIGHTMON_DEAD_LETTERS", "none");
    Some(command)
}

fn with_plugins(programs: &Programs, plugins: &[&str]) -> Option<Command> {
    let args: Vec<String> = plugins
        .iter()
        .map(|plugin| {
            Path::new(&programs.plugins)
                .join(plugin)
                .display()
                .to_string()
        })
        .flat_map(|plugin| ["--plugin".to_owned(), plugin])
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    lightmon(programs, "json", &args)
}

/// An exclude expression that matches the whole load, and not the probes.
fn ports() -> String {
    let mut expression = format!("dport={PORT}");
    for port in PORT + 1..PORT + PROCESSES {
        // Writing to a string does not fail.
        let _ = write!(expression, " || dport={port}");
    }
    expression
}
