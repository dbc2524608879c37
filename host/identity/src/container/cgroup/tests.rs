//! Tests with folders in place of /proc and of the cgroup tree, and one with those of this system.

use tempfile::TempDir;

use super::*;

const A: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";
const B: &str = "a95f1d854e121d5fb9b063ebd7ebbb9b68838a81394eee3fc5abc063f5cfe4f9";

proptest::proptest! {
    #[test]
    fn parsers_never_panic(text: Vec<u8>) {
        container_id(&text);
        path::unit(&text);
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
    // the inner runtime does not have all hierarchies
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

/// Folders in place of /proc and of the version 2 tree.
struct System {
    proc: TempDir,
    tree: TempDir,
}

impl Cgroups {
    fn container(&mut self, cgroup_id: u64, pid: u32) -> Option<Arc<str>> {
        self.find(cgroup_id, pid).container_id
    }
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

    /// Creates a cgroup and returns its id.
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
fn a_container_is_found_by_the_process_and_then_remembered() {
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
fn the_cgroup_of_a_process_that_is_gone_is_found_in_the_tree() {
    let system = System::new();
    let mut cgroups = system.cgroups(true);
    system.cgroup("/system.slice/ssh.service");
    let cgroup = system.cgroup(&format!("/docker/{A}"));
    assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
}

#[test]
fn a_created_cgroup_is_known_after_it_is_gone() {
    let system = System::new();
    let mut cgroups = system.cgroups(false);
    cgroups.created(4711, format!("/docker/{A}").as_bytes());
    cgroups.created(4712, b"/system.slice/ssh.service");
    assert_eq!(cgroups.container(4711, 7).as_deref(), Some(A));
    assert_eq!(cgroups.container(4712, 7), None);
}

#[test]
fn a_moved_process_leaves_no_wrong_entry() {
    let system = System::new();
    let mut cgroups = system.cgroups(true);
    let runtime = system.cgroup("/system.slice/docker.service");
    let path = format!("/docker/{A}");
    let container = system.cgroup(&path);
    // The kernel program saw the process in the runtime's cgroup. At the look-up, it has been moved into its container.
    system.process(7, &format!("0::{path}\n"));
    assert_eq!(cgroups.container(runtime, 7), None);
    // The other way round: another process with that pid.
    system.process(7, "0::/system.slice/docker.service\n");
    cgroups.next_walk = Instant::now();
    assert_eq!(cgroups.container(container, 7).as_deref(), Some(A));
    assert_eq!(cgroups.container(runtime, 7), None);
}

#[test]
fn a_cgroup_that_was_not_found_is_not_remembered() {
    let system = System::new();
    let mut cgroups = system.cgroups(true);
    let path = format!("/docker/{A}");
    let cgroup = system.cgroup(&path);
    // A walk is not allowed yet, and the process is gone.
    cgroups.next_walk = Instant::now() + Duration::from_secs(3600);
    assert_eq!(cgroups.container(cgroup, 7), None);
    system.process(7, &format!("0::{path}\n"));
    assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
    // A cgroup that is not in the tree.
    cgroups.next_walk = Instant::now();
    let other = cgroup + 1_000_000;
    assert_eq!(cgroups.container(other, 8), None);
    assert_eq!(cgroups.cache.get(&other), None);
}

#[test]
fn a_version_1_runtime_on_a_hybrid_host() {
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
fn without_version_2_each_process_is_read() {
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
fn a_path_outside_of_the_cgroup_namespace() {
    let system = System::new();
    let mut cgroups = system.cgroups(true);
    system.process(7, &format!("0::/../{A}\n"));
    let cgroup = system.cgroup("/") + 1_000_000;
    assert_eq!(cgroups.container(cgroup, 7).as_deref(), Some(A));
    assert_eq!(cgroups.cache.get(&cgroup), None);
}

/// On the machine that runs the test: the cgroup of this process can be read, and is in the tree.
#[test]
fn this_system() {
    let mut cgroups = Cgroups::of_system();
    let own = Membership::read(&cgroups.proc, std::process::id()).unwrap();
    let by_all = own.container();
    assert_eq!(cgroups.container(0, std::process::id()), by_all);
    if let Some(inode) = cgroups.inode(own.unified().unwrap_or(b"/")) {
        let expect = own.unified().and_then(container_id);
        assert_eq!(cgroups.container(inode, 0).as_deref(), expect);
    }
}
