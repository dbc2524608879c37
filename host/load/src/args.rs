//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand, value_parser};

use crate::kind::Kind;

/// Opens connections that can be told apart, and checks what lightmon and others have reported of them
///
/// Each connection goes to a loopback address of its own, the next one of --from, so that a lost one and one that is
/// reported twice are both seen.
#[derive(Debug, Parser)]
#[command(name = "lightmon-load", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
An example, to be run as root:
  lightmon -f json > events &
  lightmon-load run tcp --count 1000000 --json > made
  kill $!; wait; lightmon-load check made events

Exit codes: 0 fine, 1 connections failed or the check did, 2 could not be done.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Open connections, and say how many
    Run(Run),
    /// Count what lightmon has reported of them: each must be there, once, with its process and outcome
    Check(Check),
    /// Put lightmon and what else one could use under the same load, and say what each costs; needs root
    SideBySide(SideBySide),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// What to open
    pub(crate) kind: Kind,

    /// How many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// How many a second, all processes together [default: as fast as they go]
    #[arg(long, value_name = "PER_SECOND", value_parser = value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// Share the work between so many processes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) processes: u32,

    /// The first destination: in 127.0.0.0/8, with tcp6 in fd00::/8 [default: 127.16.0.0, fd6c:6967:6874:6d6f::]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) from: Option<IpAddr>,

    /// The port that the first process connects to; the next one takes the next [default: a free one]
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..=64511))]
    pub(crate) port: Option<u16>,

    /// Do it in a network namespace of its own, so that nothing else on this machine is disturbed; needs root
    #[arg(long)]
    pub(crate) own_network: bool,

    /// Say it as JSON, which `check` reads
    #[arg(long)]
    pub(crate) json: bool,

    /// Which of the processes this is: set for those that it starts
    #[arg(long, hide = true)]
    pub(crate) worker: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// What `run --json` has said
    pub(crate) made: PathBuf,
    /// What `lightmon -f json` has written meanwhile
    pub(crate) events: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SideBySide {
    /// Where the results are kept; those of loads that are not measured now stay
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/bench/side-by-side.json"
    )]
    pub(crate) results: PathBuf,

    /// Draw them there, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Measure nothing, show only what was measured
    #[arg(long)]
    pub(crate) show: bool,

    /// How often each tool gets each load; what is shown is the median
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// Fewer connections: a tenth of a million at full speed
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only this load, or `rest`; may be repeated
    #[arg(long = "load", value_name = "NAME")]
    pub(crate) loads: Vec<String>,

    /// The lightmon to measure [default: the one beside this program]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) lightmon: Option<PathBuf>,

    /// The folder of its plugins
    #[arg(long, value_name = "FOLDER", default_value = "target/plugins")]
    pub(crate) plugins: PathBuf,

    /// bpftrace; it is left out without, and so are the next ones
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) bpftrace: Option<PathBuf>,

    /// tcplife of libbpf-tools
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) tcplife: Option<PathBuf>,

    /// The lightmon that was written in Go
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) original: Option<PathBuf>,

    /// Where the tools may write
    #[arg(long, value_name = "FOLDER", default_value = "target/bench/run")]
    pub(crate) folder: PathBuf,
}
