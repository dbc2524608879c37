//! The command line, and what it starts. Nothing is attached before every setting has been understood.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::{
    config::{BufferSize, Config},
    doctor, record, run,
};

use lightmon_output::Format;
use lightmon_thread::stderr::{self, Message};

/// Reports each network connection that the processes and containers of this host open
///
/// Who (process, user, container), where to (address, port, protocol), and how it ended. Needs root, or CAP_BPF,
/// CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE; `--replay` needs nothing.
#[derive(Debug, Default, Parser)]
#[command(name = "lightmon", version, max_term_width = 110, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Args {
    /// What to do instead of watching.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Read settings from FILE; flags and LIGHTMON_… variables are stronger [default: config.yaml, if it exists]
    #[arg(short, long, value_name = "FILE", env = "LIGHTMON_CONFIG", hide_env = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Write events in this format [default: log]
    #[arg(
        short,
        long,
        alias = "output",
        env = "LIGHTMON_FORMAT",
        hide_env = true,
        value_parser = format_parser(),
        help_heading = "Output"
    )]
    pub format: Option<Format>,

    /// Write log and JSON to DIR/lightmon.log.%Y%m%d%H%M, a new file each hour, the newest 8 kept
    #[arg(long, alias = "log_path", value_name = "DIR", env = "LIGHTMON_LOG_PATH", hide_env = true, value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub log_path: Option<PathBuf>,

    /// Leave out events that match, such as 'dport=53; dip="10.0.0.0/8" && keyword="nginx"'; may be repeated
    #[arg(
        long,
        value_name = "EXPRESSION",
        env = "LIGHTMON_EXCLUDE",
        hide_env = true,
        help_heading = "Filter"
    )]
    pub exclude: Vec<String>,

    /// Run a WebAssembly plugin over the events; may be repeated, the order is the order of the chain
    #[arg(long, value_name = "FILE[:KEY=VALUE,…]", env = "LIGHTMON_PLUGIN", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Filter")]
    pub plugin: Vec<lightmon_plugin_host::Spec>,

    /// Keep compiled plugins in DIR, which others must not be able to write to, or `none` [default: /var/cache/lightmon for root, else ~/.cache/lightmon]
    #[arg(long, value_name = "DIR", env = "LIGHTMON_CACHE_DIR", hide_env = true, value_hint = ValueHint::DirPath, help_heading = "Filter")]
    pub cache_dir: Option<PathBuf>,

    /// Load a plugin again when its file changes, as SIGHUP does
    #[arg(long, env = "LIGHTMON_WATCH", hide_env = true, value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Filter")]
    pub watch: bool,

    /// Keep the events that a plugin fails on in FILE, for --replay, or `none` [default: /var/lib/lightmon/dead-letters.jsonl for root, else ~/.local/state/lightmon/dead-letters.jsonl]
    #[arg(long, value_name = "FILE", env = "LIGHTMON_DEAD_LETTERS", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Filter")]
    pub dead_letters: Option<PathBuf>,

    /// End after N events were written
    #[arg(long, value_name = "N", env = "LIGHTMON_COUNT", hide_env = true, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub count: Option<u64>,

    /// End after this time, such as 30s, 5m or 1h30m
    #[arg(long, value_name = "TIME", env = "LIGHTMON_DURATION", hide_env = true, value_parser = duration, help_heading = "Run")]
    pub duration: Option<std::time::Duration>,

    /// Take events from a file that `-f json` has written instead of the kernel; - is stdin
    #[arg(long, value_name = "FILE", env = "LIGHTMON_REPLAY", hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Run")]
    pub replay: Option<PathBuf>,

    /// Have room for so much between kernel and host: a power of two, 64K to 1G; more bears longer bursts [default: 8M]
    #[arg(
        long,
        value_name = "SIZE",
        env = "LIGHTMON_BUFFER_SIZE",
        hide_env = true,
        help_heading = "Run"
    )]
    pub buffer_size: Option<BufferSize>,

    /// Try each TIME, at least 1s, whether connections over loopback are seen, and say `blind` when they are not
    #[arg(long, value_name = "TIME", env = "LIGHTMON_CANARY_INTERVAL", hide_env = true, value_parser = canary_interval, help_heading = "Run")]
    pub canary_interval: Option<std::time::Duration>,

    /// Ask this Docker or Podman daemon for the names of containers; may be repeated [default: unix:///var/run/docker.sock and unix:///run/podman/podman.sock]
    #[arg(
        long,
        value_name = "unix://SOCKET",
        env = "DOCKER_HOST",
        value_delimiter = ',',
        hide_env = true,
        help_heading = "Run"
    )]
    pub docker_host: Vec<String>,

    /// Ask this containerd or CRI-O for the names of pods and containers; may be repeated [default: containerd, CRI-O and k3s at their usual sockets in /run]
    #[arg(long, value_name = "PATH", env = "LIGHTMON_CRI_SOCKET", value_delimiter = ',', hide_env = true, value_hint = ValueHint::FilePath, help_heading = "Run")]
    pub cri_socket: Vec<String>,

    /// Accepted from the original lightmon: IPv6 is always reported, unless config.yaml says `ipv6: false`
    #[arg(long = "v6", help_heading = "Original")]
    pub v6: bool,

    /// Show containers in Kubernetes pods as namespace/pod/container in a table
    #[arg(long, env = "LIGHTMON_K8S", hide_env = true, value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Output")]
    pub k8s: bool,

    /// Put this label of containers, or else of their pods, into each line of the log; may be repeated. JSON has all
    #[arg(
        long,
        value_name = "KEY",
        env = "LIGHTMON_LABEL",
        value_delimiter = ',',
        hide_env = true,
        help_heading = "Output"
    )]
    pub label: Vec<String>,

    /// Name the container or pod of this host that a connection goes to (`peer` in JSON)
    #[arg(long, env = "LIGHTMON_RESOLVE_PEERS", hide_env = true, value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Run")]
    pub resolve_peers: bool,

    /// Accepted from the original lightmon: containers are named by the Docker daemon
    #[arg(long, alias = "docker_runtime", value_name = "DIR", hide = true)]
    pub docker_runtime: Option<PathBuf>,

    /// Accepted from the original lightmon: containers are named by the Docker daemon
    #[arg(long, alias = "docker_data", value_name = "DIR", hide = true)]
    pub docker_data: Option<PathBuf>,

    /// Accepted from the original lightmon: the hooks choose themselves
    #[arg(long, alias = "ebpf_type", value_name = "N", hide = true)]
    pub ebpf_type: Option<u32>,

    /// Load this kernel object instead of the one in the binary
    #[arg(long, value_name = "FILE", env = "LIGHTMON_EBPF_OBJECT", hide = true)]
    pub ebpf_object: Option<PathBuf>,
}

/// What lightmon does besides watching.
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
    Plugin(lightmon_plugin_cli::Args),
    #[expect(
        missing_docs,
        reason = "clap would take it for the help, which is the doc comment of the arguments"
    )]
    Record(record::Args),
}

const AFTER_HELP: &str = "\
Settings can come from the environment too: LIGHTMON_FORMAT, LIGHTMON_EXCLUDE and so on. The original's
single-dash spellings (-exclude, -output, -v6, -log_path) are accepted.

Events go to stdout, all else to stderr. SIGINT and SIGTERM end with a summary of what became of them.
Exit codes: 0 fine, 1 failed while running, 2 wrong usage or settings.";

/// Offers the formats there are, with their help.
fn format_parser() -> impl TypedValueParser<Value = Format> {
    let possible = |format: Format| {
        PossibleValue::new(format.as_str())
            .aliases(format.alias())
            .help(format.summary())
    };
    PossibleValuesParser::new(Format::ALL.map(possible)).try_map(|name| name.parse::<Format>())
}

/// Longer than none.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    let duration =
        std::time::Duration::try_from(span).map_err(|_| "must not be negative".to_owned())?;
    if duration.is_zero() {
        Err("must be longer than 0s".to_owned())
    } else {
        Ok(duration)
    }
}

/// A second or longer.
pub(crate) fn canary_interval(text: &str) -> Result<std::time::Duration, String> {
    match duration(text)? {
        time if time < std::time::Duration::from_secs(1) => Err("must be at least 1s".to_owned()),
        time => Ok(time),
    }
}

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
        Some(Command::Plugin(args)) => return lightmon_plugin_cli::run(args),
        Some(Command::Record(args)) => return record::run(args),
        None => {}
    }
    match Config::layered(args).and_then(run::prepare) {
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

/// Messages go to stderr, from `info` on unless RUST_LOG says otherwise.
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

/// Go's flag package takes `-exclude x` for `--exclude x`: so do we, for our own long options.
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

/// Of a command and all below it.
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
