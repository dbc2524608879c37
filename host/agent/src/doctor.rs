//! `lightmon doctor`: says before anything runs whether this machine lets lightmon do its work, and what is lost where it
//! does so in part only. Looks and tries; apart from mounting tracefs, as the monitor does, it changes nothing.
//!
//! ```text
//! kernel                     fine      6.18.44
//! cgroups                    degraded  hybrid; lost: the container of … that end at once
//! CAP_BPF, CAP_PERFMON       missing   not there; to do: run as root, or …
//! sock:inet_sock_set_state   unknown   not tried
//! ```

mod containers;
mod kernel;
mod report;
mod rights;
mod trace;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    thread,
};

use clap::ValueHint;

use self::report::{Check, Report};
use lightmon_capture::ebpf;
use lightmon_output::Terminal;

/// Check whether lightmon can do its work here, and what is lost where it can't do all of it
///
/// Looks at the kernel, rights, namespaces and container runtimes, attaches each hook, and makes connections over the
/// loopback device that must come out right. Takes at most some seconds.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Write one JSON object instead of lines
    #[arg(long)]
    json: bool,

    /// Ask this Docker daemon [default: unix:///var/run/docker.sock]
    #[arg(
        long,
        value_name = "unix://SOCKET",
        env = "DOCKER_HOST",
        hide_env = true
    )]
    docker_host: Option<String>,

    /// Ask this containerd or CRI-O; may be repeated [default: containerd, CRI-O and k3s at their usual sockets in /run]
    #[arg(long, value_name = "PATH", env = "LIGHTMON_CRI_SOCKET", value_delimiter = ',', hide_env = true, value_hint = ValueHint::FilePath)]
    cri_socket: Vec<String>,

    /// Load this kernel object instead of the one in the binary
    #[arg(long, value_name = "FILE", env = "LIGHTMON_EBPF_OBJECT", hide = true, value_hint = ValueHint::FilePath)]
    ebpf_object: Option<PathBuf>,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 lightmon can't do its work here, 2 wrong usage, 3 it can, but something is lost.";

/// Examines and reports; the exit code is the verdict.
pub fn run(args: Args) -> ExitCode {
    let Args {
        json,
        docker_host,
        cri_socket,
        ebpf_object,
    } = args;
    let report = examine(
        docker_host,
        cri_socket,
        &ebpf::Options {
            object: ebpf_object,
            ..ebpf::Options::default()
        },
    );
    let text = match json {
        true => report.json(),
        false => report.text(Terminal::of_stdout().color),
    };
    // Nobody is left to tell when stdout is closed.
    let _ = io::stdout().write_all(text.as_bytes());
    report.exit_code()
}

fn examine(
    docker_host: Option<String>,
    cri_sockets: Vec<String>,
    options: &ebpf::Options,
) -> Report {
    // Runtimes may take their time, the others go on meanwhile.
    let runtimes = thread::spawn(move || containers::runtimes(docker_host.as_deref(), cri_sockets));
    let mut checks = kernel::checks();
    checks.extend(rights::checks());
    checks.push(containers::cgroups());
    let traced = trace::checks(options);
    checks.extend(runtimes.join().unwrap_or_else(|_| {
        vec![Check::unknown(
            "container runtimes",
            "the question has panicked; this is a bug",
        )]
    }));
    checks.extend(traced);
    Report::new(checks)
}
