//! The load generator `lightmon-load`: opens connections that can be told apart, and counts what lightmon said of them.
//! Knows lightmon by its JSON only; shares no code with what it tests.

mod args;
mod check;
mod kind;
mod network;
mod pace;
mod peer;
mod report;
mod run;
mod side_by_side;
mod target;
mod times;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    // A process of the kind `exec` lives for one connect: reading a command line would be most of its life.
    let result = match peer::connect_of(&args) {
        Some(to) => peer::connect(to).map(|()| true),
        None => match Args::parse_from(args).command {
            Command::Run(options) => run::run(&options),
            Command::Check(files) => check::run(&files),
            Command::SideBySide(options) => side_by_side::run(&options),
        },
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr(), "lightmon-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
