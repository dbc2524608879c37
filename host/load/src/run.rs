//! Runs a load: starts the processes that share it, and opens the connections of each.

use std::{
    env,
    io::{self, Write as _},
    net::IpAddr,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    args, network,
    pace::Pace,
    peer::Peer,
    report::{Part, Report},
    target::Range,
    times::Times,
};

/// The report of one process to the process that started it.
#[derive(Serialize, Deserialize)]
struct Work {
    part: Part,
    times: Times,
}

/// Opens all connections, or the share of one process, and prints the report. Returns whether all succeeded.
pub(crate) fn run(options: &args::Run) -> anyhow::Result<bool> {
    let range = Range::new(options.from, options.count, options.kind.is_ipv6())?;
    let (text, failed) = match options.worker {
        Some(worker) => {
            let work = work(options, &range, worker)?;
            (serde_json::to_string(&work)?, work.part.failed)
        }
        None => {
            let report = share(options, range)?;
            let text = match options.json {
                true => serde_json::to_string(&report)?,
                false => report.to_string(),
            };
            (text, report.failed())
        }
    };
    writeln!(io::stdout(), "{text}").context("write the report")?;
    Ok(failed == 0)
}

/// Starts the processes and merges their reports.
fn share(options: &args::Run, range: Range) -> anyhow::Result<Report> {
    ensure!(
        options.own_network || !options.kind.is_ipv6(),
        "the loopback device has one IPv6 address only: add --own-network, in which there are more"
    );
    if options.own_network {
        network::enter()?;
        if let IpAddr::V6(from) = range.from {
            network::add_network(from)?;
        }
    }
    let program = env::current_exe().context("find this program")?;
    let start = Instant::now();
    let workers: Vec<_> = (0..options.processes)
        .map(|worker| {
            Command::new(&program)
                .args(env::args_os().skip(1))
                .args(["--worker", &worker.to_string()])
                .stdout(Stdio::piped())
                .spawn()
        })
        .collect::<Result<_, _>>()
        .context("start a process")?;
    let works: Vec<Work> = workers
        .into_iter()
        .map(|worker| {
            let output = worker.wait_with_output()?;
            serde_json::from_slice(&output.stdout)
                .with_context(|| format!("a process ended without a report: {}", output.status))
        })
        .collect::<anyhow::Result<_>>()?;
    let seconds = start.elapsed().as_secs_f64();
    let (mut parts, mut times) = (Vec::new(), Times::default());
    for work in works {
        parts.push(work.part);
        times.merge(work.times);
    }
    Ok(Report {
        kind: options.kind,
        range,
        program,
        seconds,
        times: times.percentiles(),
        parts,
    })
}

/// Opens the connections of one process.
fn work(options: &args::Run, range: &Range, worker: u32) -> anyhow::Result<Work> {
    let bound = |worker: u32| {
        let before = u64::from(range.count) * u64::from(worker) / u64::from(options.processes);
        u32::try_from(before).expect("invariant: at most the count")
    };
    let (first, end) = (bound(worker), bound(worker + 1));
    let program = env::current_exe().context("find this program")?;
    // No overflow: there are at most 1024 processes, and the range of `--port` leaves room for them.
    let port = options.port.map(|port| port + worker as u16);
    let peer = Peer::open(options.kind, port)?;
    let mut part = Part {
        pid: std::process::id(),
        first,
        count: end - first,
        port: peer.port(),
        made: 0,
        failed: 0,
        error: None,
    };
    let mut times = Times::default();
    let pace = Pace::new(
        options
            .rate
            .map(|rate| f64::from(rate) / f64::from(options.processes)),
    );
    for i in first..end {
        pace.wait(i - first);
        match peer.connect(range.address(i), &program) {
            Ok(time) => {
                part.made += 1;
                times.add(time);
            }
            Err(error) => {
                part.failed += 1;
                part.error.get_or_insert_with(|| {
                    format!("connection {i} to {}: {error:#}", range.address(i))
                });
            }
        }
    }
    Ok(Work { part, times })
}
