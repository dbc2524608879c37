//! The compared tools: command lines and output formats.

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

/// The run without a tool: the reference of the added time.
pub(super) const NOTHING: &str = "nothing attached";
pub(super) const LIGHTMON: &str = "lightmon";
pub(super) const BPFTRACE: &str = "bpftrace";
pub(super) const TCPLIFE: &str = "tcplife";
pub(super) const ORIGINAL: &str = "original";

/// The paths of the programs. Missing programs are not measured.
pub(super) struct Programs {
    pub(super) lightmon: PathBuf,
    /// Folder of lightmon's plugins.
    pub(super) plugins: PathBuf,
    /// Folder for the caches of the tools, and for the scripts.
    pub(super) folder: PathBuf,
    pub(super) bpftrace: Option<PathBuf>,
    pub(super) tcplife: Option<PathBuf>,
    /// The original lightmon, in Go.
    pub(super) original: Option<PathBuf>,
}

/// A tool with its options.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) lines: Lines,
    /// Whether the tool is measured under this load.
    pub(super) takes: fn(&Load) -> bool,
    /// The command line for connections of this kind, or `None` if the program is missing.
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

/// The name of bpftrace's script for this kind in [`Programs::folder`]. TCP and UDP have separate scripts, so that neither pays
/// for the hooks of the other.
fn script(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Udp | Kind::UdpSend => ("udp.bt", include_str!("udp.bt")),
        Kind::Tcp | Kind::Tcp6 | Kind::Refused | Kind::Exec => ("tcp.bt", include_str!("tcp.bt")),
    }
}

impl Programs {
    /// Writes the scripts to the folder.
    ///
    /// # Errors
    /// If a script cannot be written.
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

/// Returns an exclude expression that matches the whole load, but not the probes.
fn ports() -> String {
    let mut expression = format!("dport={PORT}");
    for port in PORT + 1..PORT + PROCESSES {
        // Writing to a string does not fail.
        let _ = write!(expression, " || dport={port}");
    }
    expression
}
