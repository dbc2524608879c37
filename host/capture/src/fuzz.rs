//! Runs the readers of this crate on any bytes, for the fuzz targets in `host/fuzz`. Not part of the program.
//!
//! Each function returns whether the bytes are valid input for the reader. It panics if the reader breaks a guarantee. The seeds of
//! the fuzzer are valid input.

use std::{
    fs::File, io::Write as _, os::fd::AsRawFd as _, path::Path, sync::atomic::Ordering::Relaxed,
};

use jiff::tz::TimeZone;
use lightmon_common::Offsets;
use lightmon_event::{Record, Stats, json};
use lightmon_thread::Stop;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{
    Next, Source as _,
    ebpf::{
        Btf,
        decode::{self, Decoded},
    },
    replay::Replay,
};

/// Longer than the structure of any kernel record.
const RECORD_BYTES: usize = 1024;

/// Decodes a kernel record. A connection must survive being written and replayed.
pub fn record(bytes: &[u8]) -> bool {
    // Decodes the bytes a second time, with the first byte as the kind and padded to full length. So the fuzzer reaches the checks of
    // numbers, not only those of lengths, and needs no seeds that follow the layout.
    let kind = bytes.first().copied().map_or(0, u32::from);
    let mut long = [&kind.to_ne_bytes()[..], bytes.get(1..).unwrap_or(&[])].concat();
    long.resize(long.len().max(RECORD_BYTES), 0);
    let (clock, mut tasks) = (decode::Clock::now(), decode::Tasks::default());
    [bytes, &long]
        .map(|bytes| match decode::record(bytes, &clock, &mut tasks) {
            Ok(Decoded::Record(Record::Connection(mut event) | Record::FromSelf(mut event))) => {
                event.exec_id = 0; // not part of the JSON
                assert_replayed(&Record::Connection(event));
                true
            }
            other => other.is_ok(),
        })
        .contains(&true)
}

/// Parses BTF and looks up all members that the kernel program needs.
pub fn btf(bytes: &[u8]) -> bool {
    let members = Offsets::MEMBERS.iter();
    let structures: Vec<_> = members.clone().map(|(name, _)| *name).collect();
    let Some(btf) = Btf::parse(bytes, &structures) else {
        return false;
    };
    members
        .filter(|(structure, path)| btf.offset_of(structure, path).is_some())
        .count()
        > 0
}

/// Replays a recording. Each line is an event, a notice, or counted as malformed. A record that is written and read again is the same.
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

/// The records of a file with these bytes, read in batches of at most `max`.
fn replay_file(bytes: &[u8], max: usize, stats: &Stats) -> Vec<Record> {
    let invariant = "invariant: the system has memory and descriptors for a short file";
    let mut file = File::from(memfd_create("recording", MFdFlags::MFD_CLOEXEC).expect(invariant));
    file.write_all(bytes).expect(invariant);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
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

/// Asserts that the record, written as a line, is read as the same record.
fn assert_replayed(record: &Record) {
    let mut line = Vec::new();
    match record {
        Record::Connection(event) => json::event(event, &TimeZone::UTC, &mut line),
        Record::Notice(notice) => json::notice::write(notice, &TimeZone::UTC, &mut line),
        other => panic!("not an event or a notice: {other:?}"),
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

    #[test]
    fn seeds_are_valid() {
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
    fn record_of_any_length_is_decoded() {
        assert!(!record(b""));
        assert!(record(
            &[u8::try_from(lightmon_common::kind::EXEC).unwrap()]
        ));
    }
}
