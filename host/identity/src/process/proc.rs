//! Reads processes from /proc (proc(5)), for those whose exec or fork was not seen.

use std::{fs, io, io::Read as _, sync::Arc, time::Duration};

use lightmon_event::{Parent, Process, Provenance, split_args};

/// Most bytes of arguments that are read; the kernel program sends as many.
const MAX_ARGS_BYTES: u64 = lightmon_event::MAX_ARGS_BYTES as u64;

/// The unit of start times in /proc: USER_HZ is 100 on every architecture that lightmon runs on.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// A running process, and its [`Event::exec_id`](lightmon_event::Event::exec_id). Of its parent, it has only the pid.
pub(super) fn read(pid: u32) -> Option<(Process, u64)> {
    let stat = Stat::read(pid)?;
    let path = fs::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .map(|path| path.to_string_lossy().into());
    let (args, args_cut) = read_args(pid).ok()?;
    // In between, the process may have ended and its pid been reused, or it may have called exec.
    let now = Stat::read(pid)?;
    if (stat.started, stat.exec_id) != (now.started, now.exec_id) {
        return None;
    }
    let process = Process {
        pid,
        started: Some(stat.started),
        comm: stat.comm,
        provenance: path.is_some().then_some(Provenance::Proc),
        path,
        args: (!args.is_empty()).then(|| split_args(&args)),
        args_cut,
        parents: match stat.ppid {
            0 => Arc::default(),
            ppid => Arc::new([Parent {
                pid: ppid,
                ..Parent::default()
            }]),
        },
    };
    Some((process, stat.exec_id))
}

/// The pids of all processes that run now.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok())
}

fn read_args(pid: u32) -> io::Result<(Vec<u8>, bool)> {
    let mut args = Vec::new();
    fs::File::open(format!("/proc/{pid}/cmdline"))?
        .take(MAX_ARGS_BYTES + 1)
        .read_to_end(&mut args)?;
    let is_cut = args.len() as u64 > MAX_ARGS_BYTES;
    args.truncate(MAX_ARGS_BYTES as usize);
    Ok((args, is_cut))
}

/// The fields of /proc/PID/stat that are used.
#[derive(Debug, PartialEq)]
pub(crate) struct Stat {
    pub(crate) comm: Arc<str>,
    pub(crate) ppid: u32,
    /// Time since boot.
    pub(crate) started: Duration,
    /// Field 48, `arg_start`: 0 if this process may not trace the other one.
    pub(crate) exec_id: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses `123 (na)me) S 1 …`. The name may contain any byte, parentheses too.
    pub(crate) fn parse(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|byte| *byte == b'(')?;
        let close = stat.iter().rposition(|byte| *byte == b')')?;
        let comm = String::from_utf8_lossy(stat.get(open + 1..close)?).into();
        let mut fields = std::str::from_utf8(&stat[close + 1..])
            .ok()?
            .split_ascii_whitespace();
        let ppid = fields.nth(1)?.parse().ok()?; // field 4
        let ticks: u32 = fields.nth(17)?.parse::<u64>().ok()?.try_into().ok()?; // field 22
        let exec_id = fields.nth(25)?.parse().ok()?; // field 48, since Linux 3.5
        Some(Self {
            comm,
            ppid,
            started: TICK * ticks,
            exec_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_any_byte() {
        let rest = "S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 450 1000 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 \
                    18 19 20 21 22 23 24 140735 26";
        let stat = Stat::parse(format!("12 (a) b (c) {rest}").as_bytes());
        let expect = Stat {
            comm: "a) b (c".into(),
            ppid: 7,
            started: Duration::from_millis(4500),
            exec_id: 140_735,
        };
        assert_eq!(stat, Some(expect));
        for bad in ["", "12", "12 (a", "12 )a(", "12 (a) S", "12 (a) S x 1"] {
            assert_eq!(Stat::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let (me, exec_id) = read(std::process::id()).unwrap();
        assert_ne!(exec_id, 0);
        assert_eq!(
            me.path.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
        assert!(pids().any(|pid| pid == me.pid));
    }
}
