//! From a task's cgroup to the id of its container: how runtimes name their cgroups, and where cgroup ids are found.
//! Knows no names, and speaks to no runtime.
//!
//! A cgroup is made by whoever is allowed to: a user with a delegated subtree can name a cgroup as a runtime would.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirEntryExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::Recent;
use crate::event::Provenance;

/// What a runtime writes before the id, where it writes anything. A `conmon-` is left out on purpose: podman's and
/// CRI-O's monitor process lives beside its container, not in it.
const PREFIXES: &[&str] = &[
    "docker",
    "cri-containerd",
    "crio",
    "libpod",
    "libpod-payload",
    "nerdctl",
];

/// Most of /proc/PID/cgroup that is read: a line for each of at most 16 hierarchies, a path has at most 4 KiB.
const MAX_TEXT: u64 = 64 << 10;

/// Most folders that one walk through the cgroup tree looks into.
const MAX_FOLDERS: usize = 10_000;

/// Longest time for one walk, for the events wait meanwhile: some thousand folders at 20–60 µs each.
const MAX_WALK: Duration = Duration::from_millis(100);

/// A walk is followed by a rest this many times as long, so that walks take at most 5 % of the time.
const REST: u32 = 20;

/// Most cgroups remembered, twice.
const MAX_CACHED: usize = 4096;

/// The id of the container that a cgroup of this path belongs to: the innermost, for with a runtime inside of a
/// container (`/docker/OUTER/docker/INNER`) that is what the task really runs in.
pub(crate) fn container_id(path: &[u8]) -> Option<&str> {
    ids(path).next_back()
}

/// Whether this is an id as the runtimes give them: 64 hex digits.
pub(crate) fn is_id(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The ids of the containers around a cgroup, the outermost first.
fn ids(path: &[u8]) -> impl DoubleEndedIterator<Item = &str> {
    path.split(|&b| b == b'/').filter_map(id_in)
}

/// The id in one folder's name: `ID`, `docker-ID`, `docker-ID.scope` or `SLICE:docker:ID`.
fn id_in(folder: &[u8]) -> Option<&str> {
    // The kernel writes it after the path of a removed cgroup that still has a task.
    let name = folder.strip_suffix(b" (deleted)").unwrap_or(folder);
    let name = name.strip_suffix(b".scope").unwrap_or(name);
    let (before, id) = name.split_at(name.len().checked_sub(64)?);
    // containerd does not understand systemd's notation when it drives cgroups itself, and makes a folder of that name.
    let from_runtime = match before {
        [] => true,
        [prefix @ .., b'-'] => is_prefix(prefix),
        [slice @ .., b':'] => slice.rsplit(|&b| b == b':').next().is_some_and(is_prefix),
        _ => false,
    };
    (from_runtime && is_id(id))
        .then(|| std::str::from_utf8(id).ok())
        .flatten()
}

fn is_prefix(name: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| prefix.as_bytes() == name)
}

/// The text of /proc/PID/cgroup: one line a hierarchy, `NUMBER:CONTROLLERS:PATH`, the unified one being `0::PATH`.
pub(crate) struct Membership(pub(crate) Vec<u8>);

impl Membership {
    /// `None`: the process is gone.
    fn read(proc: &Path, pid: u32) -> Option<Self> {
        let mut text = Vec::new();
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

/// Finds the container of a task. Remembers what it has found, within bounds.
pub(crate) struct Cgroups {
    /// Where /proc is.
    proc: PathBuf,
    /// Where the cgroup2 tree is. Without one all tasks have the same cgroup id, which then says nothing.
    tree: Option<PathBuf>,
    /// No version 1 hierarchy: then the cgroup2 path says it all. Elsewhere a runtime may use only version 1, and its
    /// containers' cgroup2 is `/` or the runtime's own.
    only_unified: bool,
    /// cgroup id → container id, if it has one. The ids are not reused while the system runs: an entry stays right.
    cache: Recent<u64, Option<Arc<str>>, MAX_CACHED>,
    /// The cgroups of containers that were seen when they were made.
    seen: Recent<u64, (), MAX_CACHED>,
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

    fn new(proc: PathBuf, tree: Option<PathBuf>, only_unified: bool) -> Self {
        Self {
            proc,
            tree,
            only_unified,
            cache: Recent::default(),
            seen: Recent::default(),
            next_walk: Instant::now(),
        }
    }

    /// The id of the container of a task with this cgroup id (0: not known), which was `pid` when it was seen.
    ///
    /// Only a path whose inode is the cgroup id is remembered for that id: by now the process may have been moved (a
    /// runtime does so just before it starts the container's program), be gone, or be another one of that pid.
    pub(crate) fn container(&mut self, cgroup_id: u64, pid: u32) -> Option<Arc<str>> {
        let cached = self.cache.get(cgroup_id).cloned();
        match cached {
            Some(Some(id)) => return Some(id),
            Some(None) if self.only_unified => return None,
            _ => {}
        }
        let membership = Membership::read(&self.proc, pid);
        if cgroup_id == 0 || self.tree.is_none() {
            return membership?.container();
        }
        let inode = membership.as_ref().and_then(|m| self.inode(m.unified()?));
        match (inode, membership) {
            (Some(inode), Some(membership)) if inode == cgroup_id => {
                let id = membership.unified().and_then(container_id).map(Arc::from);
                self.cache.insert(cgroup_id, id.clone());
                id.or_else(|| membership.container())
            }
            _ if cached.is_some() => None,
            // Moved, or another process: only the tree knows.
            (Some(_), _) | (None, None) => self.walk(cgroup_id).flatten(),
            // The path can't be seen from here: an own cgroup namespace, or the cgroup is removed.
            (None, Some(membership)) => match self.walk(cgroup_id) {
                Some(id) => id,
                None => membership.container(),
            },
        }
    }

    /// Remembers what a cgroup id stands for that was made just now.
    pub(crate) fn made(&mut self, cgroup_id: u64, path: &[u8]) {
        let id = container_id(path).map(Arc::from);
        if id.is_some() {
            self.seen.insert(cgroup_id, ());
        }
        self.cache.insert(cgroup_id, id);
    }

    /// How what [`container`](Self::container) has found for this cgroup is known.
    pub(crate) fn provenance(&mut self, cgroup_id: u64) -> Provenance {
        match self.seen.get(cgroup_id) {
            Some(()) => Provenance::Exec,
            None => Provenance::Proc,
        }
    }

    /// The inode of a cgroup, which is its id.
    fn inode(&self, path: &[u8]) -> Option<u64> {
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
            self.cache.insert(cgroup_id, None);
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
                let id = container_id(inside.as_os_str().as_bytes()).map(Arc::from);
                if entry.ino() == cgroup_id {
                    found = Some(id.clone());
                }
                if id.is_some() || entry.ino() == cgroup_id {
                    self.cache.insert(entry.ino(), id);
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

/// Where the cgroup2 tree is mounted, from the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). One that shows
/// the whole of it is preferred.
pub(crate) fn unified_mount(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut part = None;
    for line in mountinfo.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else {
            continue;
        };
        let kind = fields.skip_while(|field| *field != b"-").nth(1);
        if kind == Some(b"cgroup2") {
            let point = PathBuf::from(OsStr::from_bytes(&unescape(point)));
            if root == b"/" {
                return Some(point);
            }
            part.get_or_insert(point);
        }
    }
    part
}

/// Space, tab, newline and backslash are `\ooo` in mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                text.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                text.push(*first);
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const A: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";
    const B: &str = "a95f1d854e121d5fb9b063ebd7ebbb9b68838a81394eee3fc5abc063f5cfe4f9";

    /// `A` and `B` in the path stand for two ids.
    #[track_caller]
    fn check(path: &str, expect: Option<&str>) {
        let path = path.replace("{A}", A).replace("{B}", B);
        assert_eq!(container_id(path.as_bytes()), expect, "{path}");
    }

    #[test]
    fn paths_of_containers() {
        // dockerd 20.10, cgroupfs driver (seen)
        check("/docker/{A}", Some(A));
        // dockerd, systemd driver: docs.docker.com/config/containers/runmetrics
        check("/system.slice/docker-{A}.scope", Some(A));
        // dockerd --cgroup-parent, Amazon ECS: /ecs/TASK/ID
        check("/ecs/0123456789abcdef0123456789abcdef-1/{A}", Some(A));
        // kubelet, cgroupfs driver (seen, containerd 1.6)
        check("/kubepods/besteffort/pod0a1b-2c/{A}", Some(A));
        // kubelet with cgroupRoot (seen)
        check("/ROOT/kubepods/burstable/pod0a1b-2c/{A}", Some(A));
        // kubelet, systemd driver: containerd, CRI-O, cri-dockerd
        let pod = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a1b_2c.slice";
        check(&format!("{pod}/cri-containerd-{{A}}.scope"), Some(A));
        check(&format!("{pod}/crio-{{A}}.scope"), Some(A));
        check(&format!("{pod}/docker-{{A}}.scope"), Some(A));
        // CRI-O, cgroupfs driver
        check("/kubepods/besteffort/pod0a1b-2c/crio-{A}", Some(A));
        // containerd with cgroupfs under a kubelet with systemd (containerd issue 4900)
        check(
            "/system.slice/containerd.service/kubepods-besteffort-pod0a1b_2c.slice:cri-containerd:{A}",
            Some(A),
        );
        // podman, cgroupfs (seen), systemd, rootless, --cgroups=split
        check("/libpod_parent/libpod-{A}", Some(A));
        check("/machine.slice/libpod-{A}.scope", Some(A));
        check(
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{A}.scope/container",
            Some(A),
        );
        check("/system.slice/web.service/libpod-payload-{A}", Some(A));
        // nerdctl, systemd driver
        check("/system.slice/nerdctl-{A}.scope", Some(A));
        // below the container: systemd in it, a runtime in it
        check("/docker/{A}/system.slice/ssh.service", Some(A));
        check("/system.slice/docker-{A}.scope/init.scope", Some(A));
        check("/docker/{A}/docker/{B}", Some(B));
        check("/docker/{A}/kubepods/besteffort/pod0a/{B}", Some(B));
        check("/docker/{A}/docker/{B}/init", Some(B));
        // seen from another container's cgroup namespace: cgroup_namespaces(7)
        check("/../{A}", Some(A));
        // removed, with a task left: cgroups(7) of version 2
        check("/docker/{A} (deleted)", Some(A));
        check("/system.slice/docker-{A}.scope (deleted)", Some(A));
    }

    #[test]
    fn paths_of_no_container() {
        for path in [
            "",
            "/",
            "//",
            "/init.scope",
            "/system.slice/docker.service",
            "/user.slice/user-1000.slice/session-2.scope",
            "/docker",
            "/docker/",
            // BuildKit, docker build: no container of the runtime's
            "/docker/buildkit/0mh9qzqczdvckmbi8n1gdcfp1",
            // the monitors of CRI-O and podman
            "/system.slice/crio-conmon-{A}.scope",
            "/machine.slice/libpod-conmon-{A}.scope",
            // 64 hex digits that are part of something else
            "/user.slice/{A}0",
            "/user.slice/0{A}",
            "/user.slice/x-{A}.scope",
            "/user.slice/-{A}",
            "/user.slice/:{A}",
            "/user.slice/a:b:{A}",
            "/user.slice/docker:{A}.service",
            "/user.slice/docker-{A}.service",
            "/user.slice/docker-{A}.scope.d",
            "/user.slice/Docker-{A}",
            "/user.slice/docker_{A}",
        ] {
            check(path, None);
        }
        check(&format!("/docker/{}", &A[1..]), None);
        check(&format!("/docker/{}", A.to_uppercase()), None);
        check(&format!("/docker/{}g", &A[1..]), None);
    }

    #[test]
    fn hostile_paths_do_no_harm() {
        let mut path = b"/\xff\x1b[31m:docker-\0/".to_vec();
        path.extend("é".repeat(32).bytes()); // 64 bytes, no hex
        assert_eq!(container_id(&path), None);
        assert_eq!(container_id(&vec![b'/'; 1 << 20]), None);
        assert_eq!(container_id(&vec![b'a'; 1 << 20]), None);
        path.push(b'/');
        path.extend(A.bytes());
        assert_eq!(container_id(&path), Some(A));
    }

    proptest::proptest! {
        #[test]
        fn parsers_never_panic(text: Vec<u8>) {
            container_id(&text);
            unified_mount(&text);
            Membership(text).container();
        }
    }

    #[track_caller]
    fn check_text(text: &str, expect: Option<&str>) {
        let text = text.replace("{A}", A).replace("{B}", B);
        let id = Membership(text.clone().into_bytes()).container();
        assert_eq!(id.as_deref(), expect, "{text}");
    }

    #[test]
    fn texts_of_proc_pid_cgroup() {
        // version 2
        check_text("0::/system.slice/docker-{A}.scope\n", Some(A));
        check_text("0::/\n", None);
        // hybrid, the runtime uses version 1 only
        check_text(
            "2:cpu,cpuacct:/docker/{A}\n1:name=systemd:/docker/{A}\n0::/\n",
            Some(A),
        );
        check_text(
            "2:cpu:/docker/{A}\n0::/system.slice/containerd.service\n",
            Some(A),
        );
        // version 1
        check_text(
            "11:memory:/docker/{A}\n1:name=systemd:/docker/{A}\n",
            Some(A),
        );
        // the inner runtime has not got all hierarchies
        check_text(
            "2:cpu:/docker/{A}\n1:pids:/docker/{A}/docker/{B}\n0::/docker/{A}\n",
            Some(B),
        );
        // a colon in the path
        check_text("0::/x.slice:docker:{A}\n", Some(A));
        // broken
        check_text("", None);
        check_text("0\n::\n:::::\n{A}\n0:{A}\n", None);
    }

    #[test]
    fn finds_the_cgroup2_mount() {
        let hybrid = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = b"1 2 0:9 /docker/x /part rw - cgroup2 none rw\n26 22 0:23 / /odd\\040\\134place rw - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(unified), Some("/odd \\place".into()));
        let part = b"1 2 0:9 /docker/x /part rw - cgroup2 none rw\n";
        assert_eq!(unified_mount(part), Some("/part".into()));
        assert_eq!(unified_mount(b"1 2 0:9 / /x rw - tmpfs cgroup2 rw\n"), None);
        assert_eq!(unified_mount(b""), None);
    }

    /// A /proc and a cgroup2 tree of folders.
    struct System {
        proc: TempDir,
        tree: TempDir,
    }

    impl System {
        fn new() -> Self {
            let [proc, tree] = [(); 2].map(|()| TempDir::new().unwrap());
            Self { proc, tree }
        }

        fn cgroups(&self, only_unified: bool) -> Cgroups {
            let tree = Some(self.tree.path().to_owned());
            Cgroups::new(self.proc.path().to_owned(), tree, only_unified)
        }

        /// Makes a cgroup; its id.
        fn cgroup(&self, path: &str) -> u64 {
            let folder = self.tree.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(&folder).unwrap();
            fs::metadata(folder).unwrap().ino()
        }

        fn process(&self, pid: u32, text: &str) {
            let folder = self.proc.path().join(pid.to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup"), text).unwrap();
        }

        fn end(&self, pid: u32) {
            fs::remove_dir_all(self.proc.path().join(pid.to_string())).unwrap();
        }
    }

    #[test]
    fn by_process_then_from_memory() {
        let system = System::new();
        let mut cgroups = system.cgroups(true);
        let path = format!("/docker/{A}");
        let cgroup = system.cgroup(&path);
        system.process(7, &format!("0::{path}\n"));
        assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
        system.end(7);
        fs::remove_dir(system.tree.path().join(&path[1..])).unwrap();
        assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
        assert_eq!(cgroups.container(cgroup, 8).as_deref(), Some(A));
    }

    #[test]
    fn process_that_is_gone_is_found_in_the_tree() {
        let system = System::new();
        let mut cgroups = system.cgroups(true);
        system.cgroup("/system.slice/ssh.service");
        let cgroup = system.cgroup(&format!("/docker/{A}"));
        assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
    }

    #[test]
    fn cgroup_that_was_seen_to_be_made_is_known_when_all_is_gone() {
        let system = System::new();
        let mut cgroups = system.cgroups(false);
        cgroups.made(4711, format!("/docker/{A}").as_bytes());
        cgroups.made(4712, b"/system.slice/ssh.service");
        assert_eq!(cgroups.container(4711, 7).as_deref(), Some(A));
        assert_eq!(cgroups.container(4712, 7), None);
    }

    #[test]
    fn moved_process_spoils_nothing() {
        let system = System::new();
        let mut cgroups = system.cgroups(true);
        let runtime = system.cgroup("/system.slice/docker.service");
        let path = format!("/docker/{A}");
        let container = system.cgroup(&path);
        // The kernel saw it in the runtime's cgroup; when we look, it has been moved into its container.
        system.process(7, &format!("0::{path}\n"));
        assert_eq!(cgroups.container(runtime, 7), None);
        // And the other way round: another process of that pid.
        system.process(7, "0::/system.slice/docker.service\n");
        cgroups.next_walk = Instant::now();
        assert_eq!(cgroups.container(container, 7).as_deref(), Some(A));
        assert_eq!(cgroups.container(runtime, 7), None);
    }

    #[test]
    fn what_was_not_found_is_not_remembered() {
        let system = System::new();
        let mut cgroups = system.cgroups(true);
        let path = format!("/docker/{A}");
        let cgroup = system.cgroup(&path);
        // A walk is not allowed yet, and the process is gone.
        cgroups.next_walk = Instant::now() + Duration::from_secs(3600);
        assert_eq!(cgroups.container(cgroup, 7), None);
        system.process(7, &format!("0::{path}\n"));
        assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
        // Not in the tree, by now.
        cgroups.next_walk = Instant::now();
        let other = cgroup + 1_000_000;
        assert_eq!(cgroups.container(other, 8), None);
        assert_eq!(cgroups.cache.get(other), None);
    }

    #[test]
    fn version_1_runtime_on_a_hybrid_host() {
        let system = System::new();
        let mut cgroups = system.cgroups(false);
        let root = system.cgroup("/");
        system.process(7, &format!("1:pids:/docker/{A}\n0::/\n"));
        system.process(8, &format!("1:pids:/docker/{B}\n0::/\n"));
        system.process(9, "1:pids:/\n0::/\n");
        for _ in 0..2 {
            assert_eq!(cgroups.container(root, 7).as_deref(), Some(A));
            assert_eq!(cgroups.container(root, 8).as_deref(), Some(B));
            assert_eq!(cgroups.container(root, 9), None);
            assert_eq!(cgroups.container(root, 10), None);
        }
    }

    #[test]
    fn without_cgroup2_each_process_is_asked() {
        let system = System::new();
        let mut cgroups = Cgroups::new(system.proc.path().to_owned(), None, false);
        system.process(7, &format!("1:pids:/docker/{A}\n"));
        system.process(8, "1:pids:/\n");
        for cgroup_id in [0, 1] {
            assert_eq!(cgroups.container(cgroup_id, 7).as_deref(), Some(A));
            assert_eq!(cgroups.container(cgroup_id, 8), None);
            assert_eq!(cgroups.container(cgroup_id, 9), None);
        }
    }

    #[test]
    fn path_outside_of_the_own_namespace() {
        let system = System::new();
        let mut cgroups = system.cgroups(true);
        system.process(7, &format!("0::/../{A}\n"));
        let cgroup = system.cgroup("/") + 1_000_000;
        assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
        assert_eq!(cgroups.cache.get(cgroup), None);
    }

    /// Of the machine that the test runs on: its own cgroup can be read, and is in the tree.
    #[test]
    fn own_system() {
        let mut cgroups = Cgroups::of_system();
        let own = Membership::read(&cgroups.proc, std::process::id()).unwrap();
        let by_all = own.container();
        assert_eq!(cgroups.container(0, std::process::id()), by_all);
        if let Some(inode) = cgroups.inode(own.unified().unwrap_or(b"/")) {
            let expect = own.unified().and_then(container_id);
            assert_eq!(cgroups.container(inode, 0).as_deref(), expect);
        }
    }
}
