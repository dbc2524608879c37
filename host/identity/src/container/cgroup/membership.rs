//! Reads /proc/PID/cgroup: the cgroups of a process, one in each hierarchy.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use super::path::{container_id, ids};

/// Most bytes of /proc/PID/cgroup that are read: a line for each of at most 16 hierarchies, with a path of at most 4 KiB.
const MAX_TEXT_BYTES: u64 = 64 << 10;

/// Enough bytes for nearly all processes, so that one read is enough.
const USUAL_TEXT_BYTES: usize = 4096;

/// The text of /proc/PID/cgroup: one line `NUMBER:CONTROLLERS:PATH` for each hierarchy; version 2 is `0::PATH`.
pub(crate) struct Membership(pub(crate) Vec<u8>);

impl Membership {
    /// `None` if the process is gone.
    pub(super) fn read(proc: &Path, pid: u32) -> Option<Self> {
        let mut text = Vec::with_capacity(USUAL_TEXT_BYTES);
        let file = File::open(proc.join(pid.to_string()).join("cgroup")).ok()?;
        file.take(MAX_TEXT_BYTES).read_to_end(&mut text).ok()?;
        Some(Self(text))
    }

    /// Whether version 2 is the only hierarchy.
    pub(super) fn is_only_unified(&self) -> bool {
        !self.0.is_empty() && self.paths().all(|(is_unified, _)| is_unified)
    }

    /// The path in version 2.
    pub(super) fn unified(&self) -> Option<&[u8]> {
        self.paths()
            .find_map(|(is_unified, path)| is_unified.then_some(path))
    }

    /// The id of the container, by all hierarchies. A runtime inside of a container may use only some of the hierarchies, so the
    /// path with the most containers counts.
    pub(crate) fn container(&self) -> Option<Arc<str>> {
        let mut deepest = (0, None);
        for (_, path) in self.paths() {
            let depth = ids(path).count();
            if depth > deepest.0 {
                deepest = (depth, container_id(path));
            }
        }
        deepest.1.map(Arc::from)
    }

    /// The path in each hierarchy, and whether that is version 2.
    fn paths(&self) -> impl Iterator<Item = (bool, &[u8])> {
        self.0.split(|&b| b == b'\n').filter_map(|line| {
            // A path may contain colons.
            let mut fields = line.splitn(3, |&b| b == b':');
            let is_unified = fields.next()? == b"0";
            Some((is_unified, fields.nth(1)?))
        })
    }
}
