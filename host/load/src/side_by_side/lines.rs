//! Reads the output of the tools: the destination of each line, the number of reported connections, and the number of connections
//! that a tool says it lost.

use std::{
    borrow::Cow,
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;

use crate::report::Report;

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// One JSON object per line: lightmon's JSON and log, and the original's.
    Json,
    /// lightmon's table, as printed to a file.
    Table,
    /// Columns: bpftrace with our scripts, and tcplife. Address and port of the destination are the fifth and fourth column from
    /// the end; counted from the end, since the name of a process may contain spaces.
    Columns,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Port<'a> {
    Number(u16),
    Text(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(alias = "dip")]
    daddr: IpAddr,
    #[serde(borrow)]
    dport: Port<'a>,
}

impl Lines {
    /// The destination, or `None` if the line is not a connection.
    fn destination(self, line: &[u8]) -> Option<(IpAddr, u16)> {
        match self {
            Self::Json => {
                let object: Object<'_> = serde_json::from_slice(line).ok()?;
                let port = match object.dport {
                    Port::Number(port) => port,
                    Port::Text(port) => port.parse().ok()?,
                };
                Some((object.daddr, port))
            }
            Self::Table => {
                let cell = str::from_utf8(line).ok()?.split('|').nth(6)?;
                let destination: SocketAddr = cell.trim().parse().ok()?;
                Some((destination.ip(), destination.port()))
            }
            Self::Columns => {
                let mut from_the_end = str::from_utf8(line).ok()?.split_whitespace().rev();
                let port = from_the_end.nth(3)?.parse().ok()?;
                Some((from_the_end.next()?.parse().ok()?, port))
            }
        }
    }

    /// Counts the connections of the run in the output. A connection that is printed twice counts once.
    ///
    /// # Errors
    /// If the output cannot be read.
    pub(super) fn count(
        self,
        report: &Report,
        mut output: impl io::BufRead,
    ) -> Result<u32, io::Error> {
        let ports: HashSet<u16> = report.parts.iter().map(|part| part.port).collect();
        let mut is_reported = vec![false; report.range.count as usize];
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            if let Some((address, port)) = self.destination(&line)
                && ports.contains(&port)
                && let Some(i) = report.range.index(address)
            {
                is_reported[i as usize] = true;
            }
            line.clear();
        }
        Ok(is_reported.into_iter().map(u32::from).sum())
    }
}

/// The number of lost connections that a tool prints to stderr.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) excluded: u64,
    pub(super) lost: u64,
}

impl Said {
    /// lightmon prints it in its summary, the other tools with each loss: `Lost 12 events`.
    pub(super) fn of(stderr: &str) -> Self {
        let number = |line: &str, before: &str| -> Option<u64> {
            let (_, rest) = line.split_once(before)?;
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        let mut summaries = stderr
            .lines()
            .filter(|line| line.starts_with("lightmon: seen "));
        if let Some(summary) = summaries.next_back() {
            return Self {
                excluded: number(summary, "+ excluded ").unwrap_or(0),
                lost: number(summary, "+ lost ").unwrap_or(0),
            };
        }
        let lost = stderr.lines().filter(|line| line.contains(" events"));
        Self {
            excluded: 0,
            lost: lost.filter_map(|line| number(line, "ost ")).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kind::Kind, report::Part, target::Range};

    fn destination(lines: Lines, line: &str) -> Option<String> {
        let (address, port) = lines.destination(line.as_bytes())?;
        Some(SocketAddr::new(address, port).to_string())
    }

    #[test]
    fn of_each_tool() {
        for (lines, line, expect) in [
            (
                Lines::Json,
                r#"{"v":1,"comm":"a b","saddr":"127.0.0.1","sport":5,"daddr":"127.16.0.0","dport":9}"#,
                "127.16.0.0:9",
            ),
            // lightmon's log and the original's, then the original's JSON.
            (
                Lines::Json,
                r#"{"conatiner":"","dip":"127.16.0.0","dport":"9","ipv6":0,"level":"info","pid":"5"}"#,
                "127.16.0.0:9",
            ),
            (
                Lines::Json,
                r#"{"kernelTime":"1","pid":5,"addressFamily":"AF_INET6","saddr":"::1","sport":5,"daddr":"fd00::1","dport":9}"#,
                "[fd00::1]:9",
            ),
            (
                Lines::Table,
                "| 19:44:50 | root     |   20476 | ipv4 | 127.0.0.1:52534       | 127.16.0.0:9          | -                | /usr/bin/curl        | established 114us |",
                "127.16.0.0:9",
            ),
            (
                Lines::Columns,
                "13:07:52.490938 13057 a b 0 127.0.0.1 46556 127.16.0.0 9 established 0 289942",
                "127.16.0.0:9",
            ),
            (
                Lines::Columns,
                "13:07:58 13290   python3          fd00::2   44584 fd00::1      9     0.00   0.00   0.14",
                "[fd00::1]:9",
            ),
        ] {
            assert_eq!(
                destination(lines, line).as_deref(),
                Some(expect),
                "{lines:?} {line}"
            );
        }
    }

    #[test]
    fn other_lines() {
        for lines in [Lines::Json, Lines::Table, Lines::Columns] {
            for line in [
                "",
                "\n",
                r#"{"v":1,"notice":"lost","connections":3}"#,
                "| TIME     | USER     |     PID | AF   | SOURCE | DESTINATION | CONTAINER |",
                "TIME(s)  PID     COMM             LADDR           LPORT RADDR           RPORT TX_KB  RX_KB  MS",
                "Attached 3 probes",
            ] {
                assert_eq!(destination(lines, line), None, "{lines:?} {line}");
            }
            assert_eq!(lines.destination(b"\xff a b c d e"), None);
        }
    }

    #[test]
    fn counted_once() {
        let report = Report {
            kind: Kind::Tcp,
            range: Range::new(None, 3, false).unwrap(),
            program: "load".into(),
            seconds: 1.0,
            times: None,
            parts: vec![Part {
                pid: 1,
                first: 0,
                count: 3,
                port: 9,
                made: 3,
                failed: 0,
                error: None,
            }],
        };
        let output = "\
            12:00:00 1 load 0 127.0.0.1 5 127.16.0.0 9 established 0 1\n\
            12:00:00 1 load 0 127.0.0.1 5 127.16.0.0 9 established 0 1\n\
            12:00:00 1 load 0 127.0.0.1 5 127.16.0.1 80 established 0 1\n\
            12:00:00 1 load 0 127.0.0.1 5 127.16.0.2 9 established 0 1\n\
            12:00:00 1 load 0 127.0.0.1 5 127.16.0.3 9 established 0 1";
        let count = Lines::Columns.count(&report, output.as_bytes());
        assert_eq!(count.unwrap(), 2);
    }

    #[test]
    fn what_is_said_of_the_rest() {
        let said = Said::of(
            "lightmon: lost 3 events\n\
             lightmon: seen 9 = written 2 + excluded 4 (kernel 4, host 0) + dropped 0 + lost 3 (kernel 3, output 0)\n",
        );
        let (excluded, lost) = (4, 3);
        assert_eq!(said, Said { excluded, lost });
        let said =
            Said::of("Attached 3 probes\nWARNING: Lost 12 events\nlost 5 events on CPU #1\n");
        let (excluded, lost) = (0, 17);
        assert_eq!(said, Said { excluded, lost });
        assert_eq!(Said::of("Attached 3 probes\n"), Said::default());
    }
}
