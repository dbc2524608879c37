//! Finds the container or the systemd unit of a task by its cgroup id. Knows no names, and talks to no runtime.
//!
//! Whoever may create a cgroup chooses its name: a user with a delegated subtree can name a cgroup as a runtime would.

mod membership;
mod mount;
mod path;

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs,
    num::NonZeroUsize,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirEntryExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use lightmon_event::{Provenance, Unit};

pub(crate) use self::{
    membership::Membership,
    mount::unified_mount,
    path::{container_id, is_id},
};
use crate::cache::{LruCache, lru_cache};

/// Most folders that one walk through the cgroup tree reads.
const MAX_WALK_FOLDERS: usize = 10_000;

/// Longest time of one walk, because events wait for it. A walk reads some thousand folders, at 20 to 60 µs each.
const WALK_TIMEOUT: Duration = Duration::from_millis(100);

/// After a walk, there is none for this many times its duration. So walks take at most 5 % of the time.
const WALK_PAUSE_FACTOR: u32 = 20;

/// Most cgroups that are remembered.
const MAX_CACHED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// Finds the container of a task. Remembers a bounded number of cgroups.
pub(crate) struct Cgroups {
    /// Where /proc is.
    proc: PathBuf,
    /// Where the version 2 tree is. Without one, all tasks have the same cgroup id, which says nothing.
    tree: Option<PathBuf>,
    /// The cgroup id of the root of the tree.
    root: Option<u64>,
    /// Whether there is no version 1 hierarchy. Then the version 2 path says everything. Else a runtime may use only version 1,
    /// and the version 2 path of its containers is `/` or that of the runtime.
    only_unified: bool,
    /// What each cgroup is. The kernel does not reuse cgroup ids while the system runs, so an entry stays valid.
    cache: LruCache<u64, CgroupInfo>,
    /// The cgroups of containers whose creation was seen.
    seen_created: LruCache<u64, ()>,
    /// When the next walk is allowed.
    next_walk: Instant,
}

/// What a cgroup is, by its path.
#[derive(Clone, Debug, Default, PartialEq)]
struct CgroupInfo {
    container_id: Option<Arc<str>>,
    /// Only outside of containers: inside, the unit would be that of the container's own systemd, or of the runtime.
    unit: Option<Arc<Unit>>,
}

/// The answer to which container a task is in.
pub(crate) struct Found {
    /// `None`: in no container, or not known.
    pub(crate) container_id: Option<Arc<str>>,
    /// Whether the answer is sure, also if it is that there is no container: the process was read, or its version 2 cgroup
    /// says everything.
    pub(crate) is_sure: bool,
}

impl Found {
    fn sure(container_id: Option<Arc<str>>) -> Self {
        Self {
            container_id,
            is_sure: true,
        }
    }

    fn unsure(container_id: Option<Arc<str>>) -> Self {
        Self {
            container_id,
            is_sure: false,
        }
    }
}

impl CgroupInfo {
    fn of(path: &[u8]) -> Self {
        match container_id(path) {
            Some(id) => Self {
                container_id: Some(id.into()),
                unit: None,
            },
            None => Self {
                container_id: None,
                unit: path::unit(path).map(Arc::new),
            },
        }
    }
}

impl Cgroups {
    /// The cgroups of this system. What can't be read is treated as absent.
    pub(crate) fn of_system() -> Self {
        let proc = PathBuf::from("/proc");
        let mounts = fs::read(proc.join("self/mountinfo")).unwrap_or_default();
        let membership = fs::read(proc.join("self/cgroup")).unwrap_or_default();
        let tree = unified_mount(&mounts);
        let only_unified = Membership(membership).is_only_unified();
        Self::new(proc, tree, only_unified)
    }

    pub(super) fn new(proc: PathBuf, tree: Option<PathBuf>, only_unified: bool) -> Self {
        let root = tree.as_ref().and_then(|tree| fs::metadata(tree).ok());
        Self {
            proc,
            tree,
            root: root.map(|root| root.ino()),
            only_unified,
            cache: lru_cache(MAX_CACHED),
            seen_created: lru_cache(MAX_CACHED),
            next_walk: Instant::now(),
        }
    }

    /// The container of a task with this cgroup id (0: not known) in a process that had this pid.
    ///
    /// A path is remembered for the cgroup id only if the inode of the path is that id. In the meantime, a runtime may have
    /// moved the process (just before exec), the process may have ended, or another one may have its pid.
    pub(crate) fn find(&mut self, cgroup_id: u64, pid: u32) -> Found {
        let cached = self.cache.get(&cgroup_id);
        let cached = cached.map(|info| info.container_id.clone());
        match cached {
            Some(Some(id)) => return Found::sure(Some(id)),
            Some(None) if self.only_unified => return Found::sure(None),
            // A runtime that uses only version 1 leaves its containers in the version 2 cgroup of whoever started them, such as
            // a service, together with processes outside of containers. So the version 2 cgroup does not decide here.
            _ => {}
        }
        let membership = Membership::read(&self.proc, pid);
        if cgroup_id == 0 || self.tree.is_none() {
            let is_sure = membership.is_some() && cgroup_id != 0;
            return Found {
                container_id: membership.and_then(|it| it.container()),
                is_sure,
            };
        }
        let inode = membership.as_ref().and_then(|m| self.inode(m.unified()?));
        let guess = match (inode, membership) {
            (Some(inode), Some(membership)) if inode == cgroup_id => {
                let info = membership.unified().map(CgroupInfo::of);
                let info = info.unwrap_or_default();
                let id = info.container_id.clone();
                self.cache.put(cgroup_id, info);
                return Found::sure(id.or_else(|| membership.container()));
            }
            _ if cached.is_some() => None,
            // The process was moved, or this is another process: only the tree knows.
            (Some(_), _) | (None, None) => self.walk(cgroup_id).flatten(),
            // The path is not visible: this process has a cgroup namespace of its own, or the cgroup was removed.
            (None, Some(membership)) => match self.walk(cgroup_id) {
                Some(id) => id,
                None => membership.container(),
            },
        };
        Found::unsure(guess)
    }

    /// Remembers the path of a cgroup that was just created.
    pub(crate) fn created(&mut self, cgroup_id: u64, path: &[u8]) {
        let info = CgroupInfo::of(path);
        if info.container_id.is_some() {
            self.seen_created.put(cgroup_id, ());
        }
        self.cache.put(cgroup_id, info);
    }

    /// The systemd unit of a cgroup outside of containers, if [`find`](Self::find) has come across its path. Reads no file.
    pub(crate) fn unit(&mut self, cgroup_id: u64) -> Option<Arc<Unit>> {
        self.cache.get(&cgroup_id)?.unit.clone()
    }

    /// How lightmon knows what [`find`](Self::find) returns for this cgroup.
    pub(crate) fn provenance(&mut self, cgroup_id: u64) -> Provenance {
        match self.seen_created.get(&cgroup_id) {
            Some(()) => Provenance::Exec,
            None => Provenance::Proc,
        }
    }

    /// The inode of a cgroup's folder, which is the cgroup's id.
    fn inode(&self, path: &[u8]) -> Option<u64> {
        if path == b"/" {
            // On hosts that do not use version 2, this is the path of each process.
            return self.root;
        }
        // `/../x` is a path outside of the cgroup namespace of this process.
        if path.split(|&b| b == b'/').any(|folder| folder == b"..") {
            return None;
        }
        let path = Path::new(OsStr::from_bytes(path));
        let tree = self.tree.as_ref()?;
        let folder = tree.join(path.strip_prefix("/").ok()?);
        Some(fs::metadata(folder).ok()?.ino())
    }

    /// Searches the whole tree for a cgroup. It remembers the cgroup and all containers on the way. `None` if the cgroup is gone,
    /// or was not found within the limits; this is not remembered.
    fn walk(&mut self, cgroup_id: u64) -> Option<Option<Arc<str>>> {
        let started = Instant::now();
        if started < self.next_walk {
            return None;
        }
        let root = self.tree.clone()?;
        if fs::metadata(&root).ok()?.ino() == cgroup_id {
            self.cache.put(cgroup_id, CgroupInfo::default());
            return Some(None);
        }
        let mut found = None;
        let mut queued = 1;
        let mut queue = VecDeque::from([root.clone()]);
        // Breadth first, because containers are near the root.
        while let Some(folder) = queue.pop_front()
            && found.is_none()
            && started.elapsed() < WALK_TIMEOUT
        {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = entry.path();
                let inside = path.strip_prefix(&root).unwrap_or(&path);
                let inside = inside.as_os_str().as_bytes();
                let is_wanted = entry.ino() == cgroup_id;
                if is_wanted || container_id(inside).is_some() {
                    let info = CgroupInfo::of(inside);
                    if is_wanted {
                        found = Some(info.container_id.clone());
                    }
                    self.cache.put(entry.ino(), info);
                }
                if queued < MAX_WALK_FOLDERS {
                    queued += 1;
                    queue.push_back(path);
                }
            }
        }
        let took = started.elapsed().max(Duration::from_micros(1));
        self.next_walk = started + took * WALK_PAUSE_FACTOR;
        found
    }
}

#[cfg(test)]
mod tests;
