//! `lightmon doctor`: checks whether lightmon works on this machine, and says what is lost if something is missing. Mounts
//! tracefs if needed, as the monitor does; changes nothing else.
//!
//! ```text
//! kernel                     fine      6.18.44
//! cgroups                    degraded  hybrid; lost: the container of … that end at once
//! CAP_BPF, CAP_PERFMON       missing   missing; to do: run as root, or …
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

/// Check whether lightmon works here, and what is lost
///
/// Checks the kernel, capabilities, namespaces and container runtimes. Attaches each hook, and runs the self-test: connections
/// over loopback that lightmon must report correctly. Takes a few seconds.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Write one JSON object
    #[arg(long)]
    json: bool,

    /// Check this Docker daemon
    ///
    /// Default: unix:///var/run/docker.sock.
    #[arg(
        long,
        value_name = "unix://SOCKET",
        env = "DOCKER_HOST",
        hide_env = true
    )]
    docker_host: Option<String>,

    /// Check this containerd or CRI-O
    ///
    /// May be repeated. Default: containerd, CRI-O and k3s at their usual sockets in /run.
    #[arg(long, value_name = "PATH", env = "LIGHTMON_CRI_SOCKET", value_delimiter = ',', hide_env = true, value_hint = ValueHint::FilePath)]
    cri_socket: Vec<String>,

    /// Load this kernel object instead of the embedded one
    #[arg(long, value_name = "FILE", env = "LIGHTMON_EBPF_OBJECT", hide = true, value_hint = ValueHint::FilePath)]
    ebpf_object: Option<PathBuf>,
}

const EXIT_CODES: &str = "Exit codes: 0 lightmon works here, 1 lightmon does not work here, 2 wrong usage, 3 lightmon works, but something is lost.";

/// Runs all checks and prints the report. The exit code is the verdict.
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
    // If stdout is closed, there is nobody to tell.
    let _ = io::stdout().write_all(text.as_bytes());
    report.exit_code()
}

fn examine(
    docker_host: Option<String>,
    cri_sockets: Vec<String>,
    options: &ebpf::Options,
) -> Report {
    // Runtimes may answer slowly; the other checks run meanwhile.
    let runtimes = thread::spawn(move || containers::runtimes(docker_host.as_deref(), cri_sockets));
    let mut checks = kernel::checks();
    checks.extend(rights::checks());
    checks.push(containers::cgroups());
    let traced = trace::checks(options);
    checks.extend(runtimes.join().unwrap_or_else(|_| {
        vec![Check::unknown(
            "container runtimes",
            "the check panicked; report this as a bug",
        )]
    }));
    checks.extend(traced);
    Report::new(checks)
}
