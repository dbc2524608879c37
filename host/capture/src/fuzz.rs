//! What the fuzz targets (`host/fuzz`) of this crate do with the bytes that the fuzzer makes up. Not in the program: only
//! `cfg(fuzzing)` and tests have this module.
//!
//! Each function tells whether the bytes were what the reader reads; the seeds are.

use std::{fs::File, io::Write as _, path::Path, sync::atomic::Ordering::Relaxed};

use jiff::tz::TimeZone;
use lightmon_event::{Record, Stats, json};
use lightmon_thread::Stop;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{
    Next, Source as _,
    ebpf::{
        btf::Btf,
        decode::{self, Decoded},
    },
    replay::Replay,
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
            Ok(Decoded::Record(Record::Connection(mut event) | Record::FromSelf(mut event))) => {
                event.exec_id = 0; // is not written
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
        for (name, target) in [("btf", btf as fn(&[u8]) -> bool), ("replay", replay)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../fuzz/seeds")
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
