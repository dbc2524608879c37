//! Compares lightmon's output with a run: counts missing, duplicate and wrong connections.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufReader, Write as _},
    net::{IpAddr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::{args, kind::Kind, peer::CONNECT, report::Report};

/// At most this number of duplicate or wrong lines is shown.
const EXAMPLES: usize = 5;

/// What lightmon reported of a run.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    made: u32,
    failed: u32,
    /// Destinations that were reported, correctly or not.
    reported: u32,
    missing: u32,
    /// Further reports of a destination that was reported before.
    duplicates: u32,
    /// Reports whose pid, path, arguments or parent are not those of the process that connected.
    wrong_process: u32,
    /// Reports with a wrong outcome or protocol.
    wrong_outcome: u32,
    /// Examples of duplicate and wrong lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<String>,
}

/// The fields of a line that the check needs. Text without JSON escapes is borrowed: a million lines are half a gigabyte.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event<'a> {
    /// `None` if the line is not a connection.
    daddr: Option<IpAddr>,
    dport: u16,
    pid: u32,
    #[serde(borrow)]
    protocol: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow)]
    proc_path: Cow<'a, str>,
    #[serde(borrow)]
    proc_args: Vec<Cow<'a, str>>,
    parents: Vec<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    pid: u32,
}

/// Prints the result. Returns whether each connection was reported once and correctly.
pub(crate) fn run(files: &args::Check) -> anyhow::Result<bool> {
    let path = &files.made;
    let made = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let report: Report = serde_json::from_slice(&made)
        .with_context(|| format!("{} is not what `run --json` prints", path.display()))?;
    ensure!(
        !report.parts.is_empty(),
        "{}: nobody has made anything",
        path.display()
    );
    let path = &files.events;
    let events = File::open(path).with_context(|| format!("read {}", path.display()))?;
    let verdict = verdict(&report, BufReader::with_capacity(1 << 20, events))
        .with_context(|| format!("read {}", path.display()))?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&verdict)?)?;
    let exact = Verdict {
        made: report.range.count,
        reported: report.range.count,
        ..Verdict::default()
    };
    Ok(verdict == exact)
}

fn verdict(report: &Report, mut events: impl io::BufRead) -> anyhow::Result<Verdict> {
    let mut is_reported = vec![false; report.range.count as usize];
    let mut verdict = Verdict {
        made: report.made(),
        failed: report.failed(),
        ..Verdict::default()
    };
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if events.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let event: Event<'_> =
            serde_json::from_slice(&line).with_context(|| format!("line {number}"))?;
        // A pending connection is reported again when it has an outcome.
        let Some(i) = event.index(report).filter(|_| event.outcome != "pending") else {
            continue;
        };
        let wrong = [
            std::mem::replace(&mut is_reported[i as usize], true),
            !event.has_process(report, i),
            !event.has_outcome(report.kind),
        ];
        let counts = [
            &mut verdict.duplicates,
            &mut verdict.wrong_process,
            &mut verdict.wrong_outcome,
        ];
        for (count, is_wrong) in counts.into_iter().zip(wrong) {
            *count += u32::from(is_wrong);
        }
        if wrong.contains(&true) && verdict.examples.len() < EXAMPLES {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            verdict.examples.push(line);
        }
    }
    verdict.reported = is_reported.into_iter().map(u32::from).sum();
    verdict.missing = report.range.count - verdict.reported;
    Ok(verdict)
}

impl Event<'_> {
    /// The index of the connection in the run. Another run may use the same address, but not the same address and port.
    fn index(&self, report: &Report) -> Option<u32> {
        let i = report.range.index(self.daddr?)?;
        (self.dport == report.part(i).port).then_some(i)
    }

    /// Whether it names the process that opened connection `i`.
    fn has_process(&self, report: &Report, i: u32) -> bool {
        let part = report.part(i);
        let is_it = match report.kind {
            // The pids are not known, but the arguments of each process contain its address.
            Kind::Exec => {
                let to = SocketAddr::new(report.range.address(i), part.port).to_string();
                let is_parent = |parent: &Parent| parent.pid == part.pid;
                self.proc_args.get(1..) == Some(&[CONNECT.into(), to.into()])
                    && self.parents.first().is_some_and(is_parent)
            }
            _ => self.pid == part.pid,
        };
        is_it && Path::new(&*self.proc_path) == report.program
    }

    fn has_outcome(&self, kind: Kind) -> bool {
        self.outcome == kind.outcome() && self.protocol == kind.protocol()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::Part, target::Range};

    /// Two processes with two connections each.
    fn report(kind: Kind) -> Report {
        let part = |pid, first, port| Part {
            pid,
            first,
            count: 2,
            port,
            made: 2,
            failed: 0,
            error: None,
        };
        Report {
            kind,
            range: Range::new(None, 4, kind.is_ipv6()).unwrap(),
            program: "/bin/load".into(),
            seconds: 1.0,
            times: None,
            parts: vec![part(100, 0, 40_000), part(101, 2, 40_001)],
        }
    }

    fn line(daddr: &str, dport: u16, pid: u32, rest: &str) -> String {
        format!(
            r#"{{"v":1,"pid":{pid},"daddr":"{daddr}","dport":{dport},"protocol":"tcp","procPath":"/bin/load",{rest}}}"#
        )
    }

    fn check(kind: Kind, lines: &[String]) -> Verdict {
        let mut verdict = verdict(&report(kind), lines.join("\n").as_bytes()).unwrap();
        let wrong = verdict.duplicates + verdict.wrong_process + verdict.wrong_outcome;
        assert_eq!(verdict.examples.len() as u32, wrong);
        verdict.examples.clear();
        verdict
    }

    #[test]
    fn exact() {
        let established = |daddr, dport, pid| line(daddr, dport, pid, r#""outcome":"established""#);
        let verdict = check(
            Kind::Tcp,
            &[
                established("127.16.0.3", 40_001, 101),
                line("127.16.0.0", 40_000, 100, r#""outcome":"pending""#),
                established("127.16.0.0", 40_000, 100),
                // Connections of other programs, and lines that are not connections.
                established("127.16.0.0", 443, 7),
                established("127.16.0.4", 40_001, 7),
                established("::1", 40_000, 7),
                r#"{"v":1,"lost":4}"#.to_owned(),
                established("127.16.0.1", 40_000, 100),
                established("127.16.0.2", 40_001, 101),
            ],
        );
        let exact = Verdict {
            made: 4,
            reported: 4,
            ..Verdict::default()
        };
        assert_eq!(verdict, exact);
    }

    #[test]
    fn each_flaw_is_counted() {
        let verdict = check(
            Kind::Refused,
            &[
                line("127.16.0.0", 40_000, 100, r#""outcome":"refused""#),
                line("127.16.0.0", 40_000, 100, r#""outcome":"refused""#),
                line("127.16.0.1", 40_000, 101, r#""outcome":"refused""#),
                line("127.16.0.2", 40_001, 101, r#""outcome":"timed-out""#),
                line("127.16.0.3", 40_000, 101, r#""outcome":"refused""#),
            ],
        );
        let flawed = Verdict {
            made: 4,
            reported: 3,
            missing: 1,
            duplicates: 1,
            wrong_process: 1,
            wrong_outcome: 1,
            ..Verdict::default()
        };
        assert_eq!(verdict, flawed);
    }

    #[test]
    fn processes_are_known_by_their_arguments() {
        let started = |i: u32, to: &str, parent| {
            let rest = format!(
                r#""outcome":"established","procArgs":["load","connect","{to}"],"parents":[{{"pid":{parent}}}]"#
            );
            line(&format!("127.16.0.{i}"), 40_000, 500 + i, &rest)
        };
        let verdict = |line| {
            let verdict = check(Kind::Exec, &[line]);
            (verdict.reported, verdict.wrong_process)
        };
        assert_eq!(verdict(started(1, "127.16.0.1:40000", 100)), (1, 0));
        assert_eq!(verdict(started(1, "127.16.0.0:40000", 100)), (1, 1));
        assert_eq!(verdict(started(1, "127.16.0.1:40000", 101)), (1, 1));
    }

    #[test]
    fn damaged_lines_are_errors() {
        let error = verdict(&report(Kind::Tcp), &b"{}\n{\"daddr\":"[..]).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
