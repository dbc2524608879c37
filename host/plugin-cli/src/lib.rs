//! `lightmon plugin …`: what the author of a plugin needs, from an empty folder to a plugin that is known to work. Builds and
//! asks; what a plugin may do is the host's own business ([`lightmon_plugin_host`]), and so the verdicts here are those at run time.

mod bench;
mod build;
mod check;
mod difference;
mod file;
mod inspect;
mod load;
mod manifest;
mod new;
mod project;
mod recording;
mod replay;
mod run;
mod test;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Subcommand;

use lightmon_thread::stderr;

/// Write plugins: begin, build, check, test and measure them
///
/// A PLUGIN is a .wasm file or a project's folder, which is built first, with settings if it needs some:
/// `redact.wasm:keys=token`, `.:keys=token`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Test(test::Args),
    Replay(replay::Args),
    Bench(bench::Args),
    Run(run::Args),
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 something is wrong with the plugin, or failed, 2 wrong usage, or the plugin can't be used.";

/// How a command has ended that could do its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Done {
    Fine,
    /// It has found what it looked for, and that is not good.
    Wrong,
}

/// Wrong usage: nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Does it; says on stderr what is wrong.
pub fn run(args: Args) -> ExitCode {
    let result = match args.verb {
        Verb::New(args) => new::run(args),
        Verb::Build(args) => build::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Test(args) => test::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Run(args) => run::run(args),
    };
    let code = match result {
        Ok(Done::Fine) => 0,
        Ok(Done::Wrong) => 1,
        Err(error) => {
            stderr::log(format_args!("lightmon: {error:#}"));
            let is_use = error.is::<Usage>() || error.is::<lightmon_plugin_host::Error>();
            if is_use { 2 } else { 1 }
        }
    };
    stderr::finish();
    ExitCode::from(code)
}

/// Writes to stdout. Nobody is left to tell when it is closed.
fn say(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// `812 bytes`, `53 KiB`, `18.3 MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
