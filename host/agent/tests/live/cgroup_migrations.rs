//! Cgroup migrations in version 1, where only /proc tells the container of a process.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
};
use tempfile::TempDir;

use crate::lightmon::Lightmon;

const ID: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";

/// A hierarchy of version 1 with a container's cgroup in it; gone when dropped.
struct Hierarchy(TempDir);

impl Hierarchy {
    fn new() -> Self {
        let hierarchy = Self(TempDir::new().unwrap());
        hierarchy.mount();
        fs::create_dir(hierarchy.0.path().join(ID)).unwrap();
        hierarchy
    }

    fn name() -> String {
        format!("name=lightmontest{}", std::process::id())
    }

    fn mount(&self) {
        let options = format!("none,{}", Self::name());
        let (kind, options) = (Some("cgroup"), Some(options.as_str()));
        mount(kind, self.0.path(), kind, MsFlags::empty(), options).unwrap();
    }

    fn is_there() -> bool {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        own.contains(&Self::name())
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        // The kernel keeps a hierarchy whose cgroup is only being removed when it is unmounted: for good, unless that is done again.
        for _ in 0..10 {
            let _ = fs::remove_dir(self.0.path().join(ID));
            let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
            let deadline = Instant::now() + Duration::from_secs(2);
            while Self::is_there() {
                if Instant::now() >= deadline {
                    self.mount();
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn each_program_is_where_its_process_is_then() {
    // Long enough for lightmon to ask the shell, which starts the next program in itself.
    const SCRIPT: &str = r#"
        go() { sh -c "sleep 0.1; exec nc -w 5 127.0.18.$1 9"; }
        go 1; go 2
        echo $$ > "$1/$2/cgroup.procs"
        go 3; go 4
        echo $$ > "$1/cgroup.procs"
        go 5
        sh -c 'echo $$ > "$1/cgroup.procs"; sleep 0.1; exec nc -w 5 127.0.18.6 9' sh "$1/$2"
        go 7
    "#;
    let lightmon = Lightmon::start(&["-f", "json"]);
    let run = || {
        // Out of sight of the daemons of other tests: each would keep the hierarchy for as long as it runs.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).unwrap();
        let hierarchy = Hierarchy::new();
        Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .args([hierarchy.0.path().to_str().unwrap(), ID])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        drop(hierarchy);
        assert!(!Hierarchy::is_there(), "left on this machine");
    };
    thread::scope(|scope| scope.spawn(run).join()).unwrap();
    for (n, is_inside) in (1..).zip([false, false, true, true, false, true, false]) {
        let event = lightmon.event_to(&format!("127.0.18.{n}"), 9);
        let id = event.get("containerId").and_then(|id| id.as_str());
        assert_eq!(id, is_inside.then_some(ID), "{n}: {event}");
    }
    assert!(lightmon.stop(Signal::SIGTERM).status.success());
}
