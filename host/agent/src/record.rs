//! `lightmon record`: records events to a file, for tests of plugins. Starts the monitor as a process of its own, and redacts
//! and writes its lines.

mod redact;

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    thread,
};

use anyhow::Context as _;
use clap::{ValueEnum, ValueHint};
use jiff::tz::TimeZone;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

pub use self::redact::{Keep, Redact};
use crate::config;
use lightmon_event::{Record, escape::printable, json};
use lightmon_thread::stderr;

/// Record events to a file and redact them
///
/// Writes JSON lines, which `--replay` and `lightmon plugin test` read. Replaces values of arguments, user names, containers (id,
/// name, image, label values), values of tags, and public addresses. The same value always gets the same replacement. Names of
/// programs, flags and labels, user ids, private addresses and ports stay. Read the file before you share it. `lightmon record`
/// does not read config.yaml.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 success, 1 failed while running, 2 wrong usage.")]
pub struct Args {
    /// Write to FILE, which only its owner can read
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,

    /// Overwrite FILE if it exists
    #[arg(long)]
    force: bool,

    /// Redact, which is the default
    #[arg(long, conflicts_with = "keep")]
    redact: bool,

    /// Do not redact these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    keep: Vec<What>,

    /// Stop after N events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after TIME, such as 30s, 5m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<String>,

    /// Leave out events that match EXPRESSION
    ///
    /// May be repeated. `lightmon help filters` describes the language.
    #[arg(long, value_name = "EXPRESSION")]
    exclude: Vec<String>,

    /// Read events from FILE instead of the kernel
    ///
    /// FILE has the JSON lines that `-f json` writes; - is stdin.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    replay: Option<PathBuf>,
}

/// Parts of events that can stay as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    Args,
    Users,
    Containers,
    Addresses,
    Tags,
    All,
}

/// Checks the text, which the monitor parses again.
fn duration(text: &str) -> Result<String, String> {
    config::duration(text).map(|_| text.to_owned())
}

/// Records until a limit is reached or a signal arrives.
pub fn run(args: Args) -> ExitCode {
    let file = match create(&args.out, args.force) {
        Ok(file) => file,
        Err(error) => {
            let path = printable(&args.out.to_string_lossy());
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => "the file exists; --force overwrites it".to_owned(),
                _ => error.to_string(),
            };
            stderr::log(format_args!("lightmon: record to {path}: {hint}"));
            stderr::finish();
            return ExitCode::from(2);
        }
    };
    let code = record(&args, file).unwrap_or_else(|error| {
        stderr::log(format_args!("lightmon: {error:#}"));
        1
    });
    if code == 2 {
        // Wrong usage: nothing was recorded.
        let _ = fs::remove_file(&args.out);
    }
    stderr::finish();
    ExitCode::from(code)
}

/// Creates a new file. An existing one may be a link, or readable by other users.
fn create(path: &Path, force: bool) -> io::Result<File> {
    if force {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Returns the exit code of the monitor.
fn record(args: &Args, file: File) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start tokio")?;
    // Before the monitor starts: signals end the monitor, and the recorder ends after it.
    let (mut interrupt, mut terminate) = {
        let _in_runtime = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let mut child = monitor(args)?.spawn().context("run lightmon")?;
    let lines = child.stdout.take().context("read from lightmon")?;
    let mut redact = Redact::new(keep(&args.keep));
    let (done, ended) = tokio::sync::oneshot::channel();
    let writer = thread::Builder::new()
        .name("record".to_owned())
        .spawn(move || {
            let result = write(lines, file, &mut redact);
            let _ = done.send(());
            result
        })?;
    runtime.block_on(async {
        let mut ended = ended;
        loop {
            tokio::select! {
                _ = &mut ended => break,
                _ = interrupt.recv() => end(&child),
                _ = terminate.recv() => end(&child),
            }
        }
    });
    let written = writer
        .join()
        .map_err(|_| anyhow::anyhow!("the recorder panicked; report this as a bug"))?;
    if written.is_err() {
        end(&child);
    }
    let status = child.wait().context("wait for lightmon")?;
    let path = printable(&args.out.to_string_lossy());
    let count = written.with_context(|| format!("record to {path}"))?;
    let code = u8::try_from(status.code().unwrap_or(1)).unwrap_or(1);
    if code != 2 {
        let redaction = match args.keep.contains(&What::All) {
            true => "not redacted",
            false => "redacted; read the file before you share it",
        };
        stderr::log(format_args!(
            "lightmon: {count} events in {path}, {redaction}"
        ));
    }
    Ok(code)
}

/// Returns the command of a monitor without the user's settings, which writes all events.
fn monitor(args: &Args) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe().context("find the lightmon executable")?);
    for name in [
        "CONFIG", "FORMAT", "LOG_PATH", "EXCLUDE", "PLUGIN", "COUNT", "DURATION", "REPLAY",
    ] {
        command.env_remove(format!("LIGHTMON_{name}"));
    }
    command.args(["-c", "/dev/null", "-f", "json"]);
    for expression in &args.exclude {
        command.arg(format!("--exclude={expression}"));
    }
    for (name, value) in [
        ("--count", args.count.map(|count| count.to_string())),
        ("--duration", args.duration.clone()),
    ] {
        command.args(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    }
    if let Some(replay) = &args.replay {
        command.arg("--replay").arg(replay);
    }
    command.stdout(Stdio::piped());
    Ok(command)
}

fn end(child: &Child) {
    // The monitor may have ended already.
    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
}

/// Writes each event. Skips notices, which are about the run.
fn write(lines: ChildStdout, file: File, redact: &mut Redact) -> io::Result<u64> {
    let mut file = BufWriter::new(file);
    let (mut lines, mut line, mut count) = (BufReader::new(lines), Vec::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Ok(Record::Connection(mut event)) = json::parse_line(&line) {
            redact.redact(&mut event);
            line.clear();
            json::event(&event, &TimeZone::UTC, &mut line);
            file.write_all(&line)?;
            count += 1;
        }
        line.clear();
        // Flush before waiting for more, so that the file has all events so far.
        if lines.buffer().is_empty() {
            file.flush()?;
        }
    }
    file.flush()?;
    Ok(count)
}

fn keep(what: &[What]) -> Keep {
    let is_kept = |one| what.contains(&What::All) || what.contains(&one);
    Keep {
        args: is_kept(What::Args),
        users: is_kept(What::Users),
        containers: is_kept(What::Containers),
        addresses: is_kept(What::Addresses),
        tags: is_kept(What::Tags),
    }
}
