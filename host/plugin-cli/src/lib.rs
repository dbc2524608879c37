//! `lightmon plugin …`: commands for plugin authors, from an empty folder to a tested plugin. They load plugins with
//! [`lightmon_plugin_host`], as a run does, so their verdicts are those of a run.

mod bench;
mod build;
mod check;
mod difference;
mod file;
mod inspect;
mod load;
mod manifest;
mod new;
mod plugin;
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

/// Create, build, check, test and measure plugins
///
/// PLUGIN is a .wasm file, or the folder of a project, which lightmon builds first. Settings follow a colon:
/// `redact.wasm:keys=token`, `.:keys=token`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Args {
    /// Command to run.
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
Exit codes: 0 success, 1 the plugin has a defect or the command failed, 2 wrong usage or the plugin does not load.";

/// Result of a command that did its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Done {
    Success,
    /// The command found defects in the plugin.
    Defects,
}

/// Wrong usage. The command did nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs the command. Errors go to stderr.
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
        Ok(Done::Success) => 0,
        Ok(Done::Defects) => 1,
        Err(error) => {
            stderr::log(format_args!("lightmon: {error:#}"));
            let is_usage = error.is::<Usage>() || error.is::<lightmon_plugin_host::Error>();
            if is_usage { 2 } else { 1 }
        }
    };
    stderr::finish();
    ExitCode::from(code)
}

/// Writes to stdout. Ignores that stdout is closed: the reader has seen enough.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Formats a size: `812 bytes`, `53 KiB`, `18.3 MiB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
