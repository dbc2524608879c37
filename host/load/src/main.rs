//! The load generator `lightmon-load`: opens many distinct connections, and checks what lightmon reports of them.
//! Knows only lightmon's JSON, and shares no code with the program that it tests.

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
    // Checked before the command line is parsed: for a process of the kind `exec`, parsing would take most of its life.
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
            // An error is ignored: if stderr is closed, there is no place to report it.
            let _ = writeln!(io::stderr(), "lightmon-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
