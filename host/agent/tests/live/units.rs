//! Processes in no container: the systemd unit that their cgroup is named after.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::lightmon::Lightmon;

/// Cgroups as systemd makes them for a service; gone when dropped.
struct Service {
    slice: PathBuf,
    name: String,
}

impl Service {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let tree = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2")
            .expect("a cgroup2 hierarchy")[1]
            .to_owned();
        let own = format!("lightmontest{}", std::process::id());
        let service = Self {
            slice: PathBuf::from(tree).join(format!("{own}.slice")),
            name: format!("{own}.service"),
        };
        fs::create_dir_all(service.folder()).unwrap();
        service
    }

    fn folder(&self) -> PathBuf {
        self.slice.join(&self.name)
    }

    /// Connects to port 9 of the address, where nobody listens.
    fn connect(&self, address: &str) {
        let script = "echo $$ >\"$1/cgroup.procs\" && exec nc -w 5 \"$2\" 9";
        let folder = self.folder();
        // It is refused.
        let status = Command::new("sh")
            .args(["-c", script, "sh", folder.to_str().unwrap(), address])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.folder());
        let _ = fs::remove_dir(&self.slice);
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn services_started_before_and_after_lightmon() {
    let check = |service: &Service, lightmon: &Lightmon, address: &str| {
        service.connect(address);
        let event = lightmon.event_to(address, 9);
        let slice = service.slice.file_name().unwrap().to_str().unwrap();
        assert_eq!(event["unit"], *service.name, "{event}");
        assert_eq!(event["slice"], slice, "{event}");
        assert_eq!(event["container"], "", "{event}");
        assert!(event.get("containerId").is_none(), "{event}");
    };
    let older = Service::new();
    let lightmon = Lightmon::start(&["-f", "json"]);
    check(&older, &lightmon, "127.0.17.1");
    drop(older);
    // Seen when its cgroup was made.
    let newer = Service::new();
    check(&newer, &lightmon, "127.0.17.2");
    check(&newer, &lightmon, "127.0.17.3");
    assert!(lightmon.stop(Signal::SIGTERM).status.success());
}
