//! What the fuzz targets (`host/fuzz`) do with the bytes that the fuzzer makes up: each reader of bytes from outside takes
//! them, and what must hold whatever they are is checked. Not in the program: only `cfg(fuzzing)` and its own tests have it.
//!
//! Each function tells whether the bytes were what the reader reads; the seeds are.

use std::{fs::File, io::Write as _, path::Path, sync::atomic::Ordering::Relaxed, time::Duration};

use jiff::tz::TimeZone;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{
    enrich::{
        container::cgroup::{Membership, is_id, unified_mount},
        process::proc::Stat,
    },
    event::{Record, split_args},
    exclude::Expr,
    output::json,
    source::{
        Next, Source as _, Stop,
        ebpf::{
            btf::Btf,
            decode::{self, Decoded},
        },
        replay::Replay,
    },
    stats::Stats,
};

/// Longer than any structure of a kernel record.
const RECORD: usize = 1024;

/// Kernel records: what is a connection can be written and replayed.
pub fn record(bytes: &[u8]) -> bool {
    // Also with the first byte as the kind, and never too short: so the numbers in it are tried, not its length. Whatever
    // the layout, no seeds are needed.
    let kind = bytes.first().copied().map_or(0, u32::from);
    let mut long = [&kind.to_ne_bytes()[..], bytes.get(1..).unwrap_or(&[])].concat();
    long.resize(long.len().max(RECORD), 0);
    let (clock, mut tasks) = (decode::Clock::now(), decode::Tasks::default());
    [bytes, &long]
        .map(|bytes| match decode::record(bytes, &clock, &mut tasks) {
            Ok(Decoded::Record(Record::Connection(mut event) | Record::Own(mut event))) => {
                event.image = 0; // is not written
                assert_replayed(&Record::Connection(event));
                true
            }
            other => other.is_ok(),
        })
        .contains(&true)
}

/// Type information of a kernel.
pub fn btf(bytes: &[u8]) -> bool {
    let members = lightmon_common::Offsets::MEMBERS.iter();
    let structures: Vec<_> = members.clone().map(|(name, _)| *name).collect();
    let Some(btf) = Btf::parse(bytes, &structures) else {
        return false;
    };
    members
        .filter(|(structure, path)| btf.offset_of(structure, path).is_some())
        .count()
        > 0
}

/// /proc/PID/stat and /proc/PID/cmdline: a process may call itself what it likes, and can't change what else is read.
pub fn process(bytes: &[u8]) -> bool {
    let rest = b") S 9 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 450 1000 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 \
        21 22 23 24 140735 26\n";
    let stat = [b"7 (", bytes, rest].concat();
    let name = String::from_utf8_lossy(bytes);
    let expect = Stat {
        comm: name.as_ref().into(),
        ppid: 9,
        started: Duration::from_millis(4500),
        image: 140_735,
    };
    assert_eq!(Stat::parse(&stat), Some(expect));
    assert_eq!(
        split_args(bytes).join("\0"),
        name.strip_suffix('\0').unwrap_or(&name)
    );
    Stat::parse(bytes).is_some()
}

/// /proc/PID/cgroup and /proc/PID/mountinfo: what is taken for a container's id is one.
pub fn cgroup(bytes: &[u8]) -> bool {
    let container = Membership(bytes.to_vec()).container();
    assert!(container.as_ref().is_none_or(|id| is_id(id.as_bytes())));
    unified_mount(bytes).is_some() || container.is_some()
}

/// Exclude expressions: one that is read is written as text that reads the same; an error fits a terminal.
pub fn exclude(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match text.parse::<Expr>() {
        Ok(expr) => {
            let written = expr.to_string();
            assert_eq!(written.parse(), Ok(expr), "{written}");
            true
        }
        Err(error) => {
            let error = error.to_string();
            assert!((3..=4).contains(&error.lines().count()), "{error}");
            assert!(
                error.lines().all(|line| line.chars().count() <= 80),
                "{error}"
            );
            assert!(
                !error.chars().any(|c| c.is_control() && c != '\n'),
                "{error:?}"
            );
            false
        }
    }
}

/// Recordings: each line is an event or a notice, or counted as neither; what is read is written as what reads the same.
pub fn replay(bytes: &[u8]) -> bool {
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let (read, malformed): (Vec<_>, Vec<_>) = lines.map(json::parse_line).partition(Result::is_ok);
    let records: Vec<Record> = read.into_iter().flatten().collect();
    records.iter().for_each(assert_replayed);
    let events = records
        .iter()
        .filter(|record| matches!(record, Record::Connection(_)))
        .count();

    let stats = Stats::default();
    let replayed = replay_file(bytes, 1 + bytes.len() % 3, &stats);
    assert_eq!(replayed, records);
    assert_eq!(stats.seen.load(Relaxed), events as u64);
    assert_eq!(stats.malformed.load(Relaxed), malformed.len() as u64);
    malformed.is_empty() && !records.is_empty()
}

/// What the source brings of a file with these bytes, in batches of at most `max`.
fn replay_file(bytes: &[u8], max: usize, stats: &Stats) -> Vec<Record> {
    let invariant = "invariant: the system has memory and descriptors for a short file";
    let mut file = File::from(memfd_create("recording", MFdFlags::MFD_CLOEXEC).expect(invariant));
    file.write_all(bytes).expect(invariant);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let mut replay = Replay::open(Path::new(&path)).expect(invariant);
    let (stop, mut records) = (Stop::new().expect(invariant), Vec::new());
    loop {
        let mut batch = Vec::new();
        let next = replay.next(&mut batch, max, &stop, stats).expect(invariant);
        assert!(batch.len() <= max);
        records.extend(batch);
        if next == Next::End {
            return records;
        }
    }
}

/// The record is written as a line that is read as the same record.
fn assert_replayed(record: &Record) {
    let mut line = Vec::new();
    match record {
        Record::Connection(event) => json::event(event, &TimeZone::UTC, &mut line),
        Record::Notice(notice) => json::notice::write(notice, &TimeZone::UTC, &mut line),
        other => panic!("a recording has events and notices only: {other:?}"),
    }
    let text = String::from_utf8_lossy(&line);
    match json::parse_line(&line) {
        Ok(read) => assert_eq!(&read, record, "{text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the fuzzer starts from must reach what it is there for.
    #[test]
    fn seeds_are_understood() {
        for (name, target) in [
            ("btf", btf as fn(&[u8]) -> bool),
            ("process", process),
            ("cgroup", cgroup),
            ("exclude", exclude),
            ("replay", replay),
        ] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/seeds")
                .join(name);
            let seeds: Vec<_> = fs::read_dir(folder).unwrap().collect();
            assert!(!seeds.is_empty(), "{name}");
            for seed in seeds {
                let path = seed.unwrap().path();
                assert!(target(&fs::read(&path).unwrap()), "{}", path.display());
            }
        }
    }

    #[test]
    fn records_of_any_length_are_tried() {
        assert!(!record(b""));
        assert!(record(
            &[u8::try_from(lightmon_common::kind::EXEC).unwrap()]
        ));
    }
}
