//! Checks the parsers of this crate with the bytes of the fuzz targets in `host/fuzz`. Compiled only with `cfg(fuzzing)` and in
//! tests.
//!
//! Each function returns whether the bytes were valid input. The seeds are.

use std::time::Duration;

use lightmon_event::split_args;

use crate::{
    container::cgroup::{Membership, is_id, unified_mount},
    process::proc::Stat,
};

/// Checks /proc/PID/stat and /proc/PID/cmdline: a process can choose its name, but the name changes no other field.
pub fn process(bytes: &[u8]) -> bool {
    let rest = b") S 9 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 450 1000 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 \
        21 22 23 24 140735 26\n";
    let stat = [b"7 (", bytes, rest].concat();
    let name = String::from_utf8_lossy(bytes);
    let expect = Stat {
        comm: name.as_ref().into(),
        ppid: 9,
        started: Duration::from_millis(4500),
        exec_id: 140_735,
    };
    assert_eq!(Stat::parse(&stat), Some(expect));
    assert_eq!(
        split_args(bytes).join("\0"),
        name.strip_suffix('\0').unwrap_or(&name)
    );
    Stat::parse(bytes).is_some()
}

/// Checks /proc/PID/cgroup and /proc/PID/mountinfo: what is returned as a container id has the form of one.
pub fn cgroup(bytes: &[u8]) -> bool {
    let container = Membership(bytes.to_vec()).container();
    assert!(container.as_ref().is_none_or(|id| is_id(id.as_bytes())));
    unified_mount(bytes).is_some() || container.is_some()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The seeds must reach the code behind the first checks.
    #[test]
    fn seeds_are_valid_input() {
        for (name, target) in [
            ("process", process as fn(&[u8]) -> bool),
            ("cgroup", cgroup),
        ] {
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
}
