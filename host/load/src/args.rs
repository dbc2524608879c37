//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand, value_parser};

use crate::kind::Kind;

/// Open many distinct connections, and check what lightmon reports
///
/// Each connection has its own destination address on the loopback device, counted up from --from. So `check`
/// finds each lost and each duplicate connection.
#[derive(Debug, Parser)]
#[command(name = "lightmon-load", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Example (run as root):
  lightmon -f json > events &
  lightmon-load run tcp --count 1000000 --json > made
  kill $!; wait; lightmon-load check made events

Exit codes: 0 success, 1 a connection or the check failed, 2 wrong usage or other error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open connections and report their number
    Run(Run),
    /// Check that lightmon reported each connection once and correctly
    Check(Check),
    /// Compare the costs of lightmon and other tools; needs root
    SideBySide(SideBySide),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Kind of connection
    pub(crate) kind: Kind,

    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// Connections per second, over all processes [default: no limit]
    #[arg(long, value_name = "PER_SECOND", value_parser = value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// Number of processes that share the connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) processes: u32,

    /// First destination: in 127.0.0.0/8, or in fd00::/8 for tcp6
    ///
    /// Default: 127.16.0.0, and fd6c:6967:6874:6d6f:: for tcp6.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<IpAddr>,

    /// Destination port of the first process [default: a free port]
    ///
    /// Each further process uses the next port.
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..=64511))]
    pub(crate) port: Option<u16>,

    /// Use a separate network namespace; needs root
    ///
    /// Other programs on this machine are not disturbed.
    #[arg(long)]
    pub(crate) own_network: bool,

    /// Print the report as JSON, the input of `check`
    #[arg(long)]
    pub(crate) json: bool,

    /// Index of this process; set by the process that starts it
    #[arg(long, hide = true)]
    pub(crate) worker: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Output of `run --json`
    pub(crate) made: PathBuf,
    /// Output of `lightmon -f json` during the run
    pub(crate) events: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SideBySide {
    /// File of the results; results of other loads in it stay
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/bench/side-by-side.json"
    )]
    pub(crate) results: PathBuf,

    /// Draw the results to this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Show the results of an earlier run, without measuring
    #[arg(long)]
    pub(crate) show: bool,

    /// Number of runs of each tool under each load; medians are shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Open fewer connections: 100,000 at full speed
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measure only this load, or `rest`; can be repeated
    #[arg(long = "load", value_name = "NAME")]
    pub(crate) loads: Vec<String>,

    /// lightmon's program [default: the one beside this program]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) lightmon: Option<PathBuf>,

    /// Folder of lightmon's plugins
    #[arg(long, value_name = "FOLDER", default_value = "target/plugins")]
    pub(crate) plugins: PathBuf,

    /// bpftrace's program; without it, bpftrace is not measured
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) bpftrace: Option<PathBuf>,

    /// Program of tcplife (libbpf-tools); without it, tcplife is not measured
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) tcplife: Option<PathBuf>,

    /// Program of the original lightmon (Go); without it, it is not measured
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) original: Option<PathBuf>,

    /// Folder in which the tools write
    #[arg(long, value_name = "FOLDER", default_value = "target/bench/run")]
    pub(crate) folder: PathBuf,
}
