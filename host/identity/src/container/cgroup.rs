//! From a task's cgroup to the id of its container, or to its systemd unit: where cgroup ids are found.
//! Knows no names, and speaks to no runtime.
//!
//! A cgroup is made by whoever is allowed to: a user with a delegated subtree can name a cgroup as a runtime would.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    num::NonZeroUsize,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirEntryExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use self::path::ids;
pub(crate) use self::{
    mount::unified_mount,
    path::{container_id, is_id},
};
use super::super::{LruCache, lru_cache};
use lightmon_event::{Provenance, Unit};

mod mount;
mod path;

/// Most of /proc/PID/cgroup that is read: a line for each of at most 16 hierarchies, a path has at most 4 KiB.
const MAX_TEXT: u64 = 64 << 10;

/// Most folders that one walk through the cgroup tree looks into.
const MAX_FOLDERS: usize = 10_000;

/// Longest time for one walk, for the events wait meanwhile: some thousand folders at 20–60 µs each.
const MAX_WALK: Duration = Duration::from_millis(100);

/// A walk is followed by a rest this many times as long, so that walks take at most 5 % of the time.
const REST: u32 = 20;

/// Most cgroups that are remembered.
const MAX_CACHED: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// The text of /proc/PID/cgroup: one line a hierarchy, `NUMBER:CONTROLLERS:PATH`, the unified one being `0::PATH`.
pub(crate) struct Membership(pub(crate) Vec<u8>);

impl Membership {
    /// `None`: the process is gone.
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        // Of nearly all: one read.
        let mut text = Vec::with_capacity(4096);
        let file = File::open(proc.join(pid.to_string()).join("cgroup")).ok()?;
        file.take(MAX_TEXT).read_to_end(&mut text).ok()?;
        Some(Self(text))
    }

    /// Whether the hierarchy is the unified one, and the path in it.
    fn paths(&self) -> impl Iterator<Item = (bool, &[u8])> {
        self.0.split(|&b| b == b'\n').filter_map(|line| {
            // A path may contain colons.
            let mut fields = line.splitn(3, |&b| b == b':');
            let unified = fields.next()? == b"0";
            Some((unified, fields.nth(1)?))
        })
    }

    fn unified(&self) -> Option<&[u8]> {
        self.paths()
            .find_map(|(unified, path)| unified.then_some(path))
    }

    /// The container by all hierarchies. A runtime inside of a container may have got only some of them: the path
    /// with the most containers on it knows most.
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
}

/// What a cgroup is, by its path.
#[derive(Clone, Debug, Default, PartialEq)]
struct Place {
    /// The id of the container, if it is in one.
    container: Option<Arc<str>>,
    /// Outside of containers: inside, the unit would be of the container's own systemd, or of the runtime.
    unit: Option<Arc<Unit>>,
}

impl Place {
    fn of(path: &[u8]) -> Self {
        match container_id(path) {
            Some(id) => Self {
                container: Some(id.into()),
                unit: None,
            },
            None => Self {
                container: None,
                unit: path::unit(path).map(Arc::new),
            },
        }
    }
}

/// What there is to know of a task's container.
pub(crate) struct Found {
    /// Its id, if there is one.
    pub(crate) container: Option<Arc<str>>,
    /// Whether it is known for sure, also that there is none: the process was read, or its cgroup2 says it all.
    pub(crate) is_sure: bool,
}

/// Finds the container of a task. Remembers what it has found, within bounds.
pub(crate) struct Cgroups {
    /// Where /proc is.
    proc: PathBuf,
    /// Where the cgroup2 tree is. Without one all tasks have the same cgroup id, which then says nothing.
    tree: Option<PathBuf>,
    /// Of the root of the tree, which stays as long as the tree.
    root: Option<u64>,
    /// No version 1 hierarchy: then the cgroup2 path says it all. Elsewhere a runtime may use only version 1, and its
    /// containers' cgroup2 is `/` or the runtime's own.
    only_unified: bool,
    /// cgroup id → what it is. The ids are not reused while the system runs: an entry stays right.
    cache: LruCache<u64, Place>,
    /// The cgroups of containers that were seen when they were made.
    seen: LruCache<u64, ()>,
    next_walk: Instant,
}

impl Cgroups {
    /// Of this system. Whatever can't be read is as if it were not there.
    pub(crate) fn of_system() -> Self {
        let proc = PathBuf::from("/proc");
        let mounts = fs::read(proc.join("self/mountinfo")).unwrap_or_default();
        let own = fs::read(proc.join("self/cgroup")).unwrap_or_default();
        let tree = unified_mount(&mounts);
        let only_unified = !own.is_empty() && Membership(own).paths().all(|(unified, _)| unified);
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
            seen: lru_cache(MAX_CACHED),
            next_walk: Instant::now(),
        }
    }

    /// The id of the container of a task with this cgroup id (0: not known), which was `pid` when it was seen.
    ///
    /// Only a path whose inode is the cgroup id is remembered for that id: by now the process may have been moved (a
    /// runtime does so just before it starts the container's program), be gone, or be another one of that pid.
    pub(crate) fn find(&mut self, cgroup_id: u64, pid: u32) -> Found {
        let found = |container, is_sure| Found { container, is_sure };
        let cached = self.cache.get(&cgroup_id).map(|it| it.container.clone());
        match cached {
            Some(Some(id)) => return found(Some(id), true),
            Some(None) if self.only_unified => return found(None, true),
            // With version 1, nothing can be remembered by cgroup: a runtime that uses only version 1 leaves its containers
            // in the cgroup2 of whoever started them, a service or a session, together with what is in no container.
            _ => {}
        }
        let membership = Membership::read(&self.proc, pid);
        if cgroup_id == 0 || self.tree.is_none() {
            let is_sure = membership.is_some() && cgroup_id != 0;
            return found(membership.and_then(|it| it.container()), is_sure);
        }
        let inode = membership.as_ref().and_then(|m| self.inode(m.unified()?));
        let guess = match (inode, membership) {
            (Some(inode), Some(membership)) if inode == cgroup_id => {
                let place = membership.unified().map(Place::of).unwrap_or_default();
                let id = place.container.clone();
                self.cache.put(cgroup_id, place);
                return found(id.or_else(|| membership.container()), true);
            }
            _ if cached.is_some() => None,
            // Moved, or another process: only the tree knows.
            (Some(_), _) | (None, None) => self.walk(cgroup_id).flatten(),
            // The path can't be seen from here: an own cgroup namespace, or the cgroup is removed.
            (None, Some(membership)) => match self.walk(cgroup_id) {
                Some(id) => id,
                None => membership.container(),
            },
        };
        found(guess, false)
    }

    /// What [`find`](Self::find) finds.
    pub(crate) fn container(&mut self, cgroup_id: u64, pid: u32) -> Option<Arc<str>> {
        self.find(cgroup_id, pid).container
    }

    /// Remembers what a cgroup id stands for that was made just now.
    pub(crate) fn made(&mut self, cgroup_id: u64, path: &[u8]) {
        let place = Place::of(path);
        if place.container.is_some() {
            self.seen.put(cgroup_id, ());
        }
        self.cache.put(cgroup_id, place);
    }

    /// The systemd unit of a cgroup that is in no container, as far as [`container`](Self::container) has come across its
    /// path: reads nothing.
    pub(crate) fn unit(&mut self, cgroup_id: u64) -> Option<Arc<Unit>> {
        self.cache.get(&cgroup_id)?.unit.clone()
    }

    /// How what [`container`](Self::container) has found for this cgroup is known.
    pub(crate) fn provenance(&mut self, cgroup_id: u64) -> Provenance {
        match self.seen.get(&cgroup_id) {
            Some(()) => Provenance::Exec,
            None => Provenance::Proc,
        }
    }

    /// The inode of a cgroup, which is its id.
    fn inode(&self, path: &[u8]) -> Option<u64> {
        if path == b"/" {
            return self.root; // where no hierarchy of version 2 is in use, that of each process
        }
        // `/../x` is a path outside of the own cgroup namespace.
        if path.split(|&b| b == b'/').any(|folder| folder == b"..") {
            return None;
        }
        let path = Path::new(OsStr::from_bytes(path));
        let tree = self.tree.as_ref()?;
        let folder = tree.join(path.strip_prefix("/").ok()?);
        Some(fs::metadata(folder).ok()?.ino())
    }

    /// Looks through the whole tree for a cgroup, and remembers it and the containers on the way. `None`: it is not
    /// there any more, or was not found within the bounds: that is not remembered.
    fn walk(&mut self, cgroup_id: u64) -> Option<Option<Arc<str>>> {
        let started = Instant::now();
        if started < self.next_walk {
            return None;
        }
        let root = self.tree.clone()?;
        if fs::metadata(&root).ok()?.ino() == cgroup_id {
            self.cache.put(cgroup_id, Place::default());
            return Some(None);
        }
        let mut found = None;
        let mut queued = 1;
        let mut queue = VecDeque::from([root.clone()]);
        // Breadth first, since containers are near the root.
        while let Some(folder) = queue.pop_front()
            && found.is_none()
            && started.elapsed() < MAX_WALK
        {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let path = entry.path();
                let inside = path.strip_prefix(&root).unwrap_or(&path);
                let inside = inside.as_os_str().as_bytes();
                let is_it = entry.ino() == cgroup_id;
                if is_it || container_id(inside).is_some() {
                    let place = Place::of(inside);
                    if is_it {
                        found = Some(place.container.clone());
                    }
                    self.cache.put(entry.ino(), place);
                }
                if queued < MAX_FOLDERS {
                    queued += 1;
                    queue.push_back(path);
                }
            }
        }
        let took = started.elapsed().max(Duration::from_micros(1));
        self.next_walk = started + took * REST;
        found
    }
}

#[cfg(test)]
mod tests;
