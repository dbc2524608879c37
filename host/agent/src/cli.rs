//! The command line, and the command that it starts. lightmon checks all settings before it attaches anything.

use std::{ffi::OsString, io, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    config::{Config, Flags},
    doctor, help, record, run,
};
use lightmon_thread::stderr::{self, Message};

/// Report the network connections of this host's processes and containers
///
/// Each event says who connects (process, user, container), where to (address, port, protocol), and how the connection ended.
/// lightmon needs root, or CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE. `--replay` needs no privileges.
#[derive(Debug, Default, Parser)]
#[command(name = "lightmon", version, max_term_width = 110, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Args {
    /// Command to run instead of the monitor.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Options of the monitor.
    #[command(flatten)]
    pub flags: Flags,
}

/// Commands besides the monitor.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[expect(
        missing_docs,
        reason = "clap would take it for the help, which is the doc comment of the arguments"
    )]
    Doctor(doctor::Args),
    #[expect(
        missing_docs,
        reason = "clap would take it for the help, which is the doc comment of the arguments"
    )]
    Help(help::Args),
    #[expect(
        missing_docs,
        reason = "clap would take it for the help, which is the doc comment of the arguments"
    )]
    Plugin(lightmon_plugin_cli::Args),
    #[expect(
        missing_docs,
        reason = "clap would take it for the help, which is the doc comment of the arguments"
    )]
    Record(record::Args),
}

const AFTER_HELP: &str = "\
The environment can set each option: LIGHTMON_FORMAT, LIGHTMON_EXCLUDE and so on. lightmon accepts the original's \
spellings with a single dash: -exclude, -output, -v6, -log_path.

Events go to stdout, everything else to stderr. After SIGINT or SIGTERM, lightmon writes a summary that accounts for \
every event. `lightmon help` lists the pages of the manual.

Exit codes: 0 success, 1 failed while running, 2 wrong usage or settings.";

/// Runs lightmon with these arguments, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::command()
        .try_get_matches_from(go_style(args))
        .and_then(|matches| Args::from_arg_matches(&matches))
    {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    start_log();
    match args.command {
        Some(Command::Doctor(args)) => return doctor::run(args),
        Some(Command::Help(args)) => return help::run(args),
        Some(Command::Plugin(args)) => return lightmon_plugin_cli::run(args),
        Some(Command::Record(args)) => return record::run(args),
        None => {}
    }
    match Config::layered(args.flags).and_then(run::prepare) {
        Ok(prepared) => finish(prepared.run(), 1),
        Err(error) => finish(Err(error), 2),
    }
}

fn finish(result: anyhow::Result<()>, code: u8) -> ExitCode {
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::log(format_args!("lightmon: {error:#}"));
            ExitCode::from(code)
        }
    };
    stderr::finish();
    code
}

/// The log goes to stderr, from level `info` on, unless RUST_LOG says otherwise.
fn start_log() {
    use tracing_subscriber::{EnvFilter, filter::LevelFilter};
    stderr::start();
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Message)
        .with_ansi(is_terminal)
        .with_target(false)
        .without_time()
        .try_init();
}

/// Accepts `-exclude x` for `--exclude x`, as Go's flag package does; only for lightmon's own long options.
fn go_style(args: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut names = vec!["help".to_owned(), "version".to_owned()];
    long_options(&Args::command(), &mut names);
    let mut is_over = false;
    args.into_iter().enumerate().map(move |(i, arg)| {
        is_over |= arg == "--";
        let Some(text) = arg.to_str().filter(|_| i > 0 && !is_over) else {
            return arg;
        };
        let name = text
            .strip_prefix('-')
            .map(|rest| rest.split_once('=').map_or(rest, |(name, _)| name));
        match name {
            Some(name) if names.iter().any(|known| known == name) => format!("-{text}").into(),
            _ => arg,
        }
    })
}

/// Adds the long options of a command and its subcommands.
fn long_options(command: &clap::Command, names: &mut Vec<String>) {
    for arg in command.get_arguments() {
        let long = arg.get_long_and_visible_aliases().into_iter().flatten();
        let hidden = arg.get_all_aliases().into_iter().flatten();
        names.extend(long.chain(hidden).map(str::to_owned));
    }
    for command in command.get_subcommands() {
        long_options(command, names);
    }
}

#[cfg(test)]
mod tests;
