//! Processes that are moved between cgroups of version 1, where nothing but /proc tells which container they are in.

use std::{
    fs,
    process::{Command, Stdio},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};
use tempfile::TempDir;

use crate::lightmon::Lightmon;

const ID: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";

/// A hierarchy of version 1 with a container's cgroup in it; gone when dropped.
struct Hierarchy(TempDir);

impl Hierarchy {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = format!("none,name=lightmontest{}", std::process::id());
        let (kind, options) = (Some("cgroup"), Some(options.as_str()));
        mount(kind, folder.path(), kind, MsFlags::empty(), options).unwrap();
        fs::create_dir(folder.path().join(ID)).unwrap();
        Self(folder)
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.path().join(ID));
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
    let hierarchy = Hierarchy::new();
    let lightmon = Lightmon::start(&["-f", "json"]);
    Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .args([hierarchy.0.path().to_str().unwrap(), ID])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    for (n, is_inside) in (1..).zip([false, false, true, true, false, true, false]) {
        let event = lightmon.event_to(&format!("127.0.18.{n}"), 9);
        let id = event.get("containerId").and_then(|id| id.as_str());
        assert_eq!(id, is_inside.then_some(ID), "{n}: {event}");
    }
    assert!(lightmon.stop(Signal::SIGTERM).status.success());
}
