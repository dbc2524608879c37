//! The command line.

use std::{net::IpAddr, path::PathBuf};

use clap::{Parser, Subcommand, value_parser};

use crate::kind::Kind;

/// Opens connections that can be told apart, and checks what lightmon has reported of them
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
