//! Starts a Docker daemon, or a Podman with Docker's API, for a test. It has folders, a socket, and network and mount namespaces of
//! its own, so it does not affect a Docker of this machine. Dropping removes everything.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use tempfile::TempDir;

/// How long a daemon may take to start or to stop, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// The image that each daemon has: busybox, with its commands in /bin.
pub(crate) const IMAGE: &str = "bb:latest";

/// Statically linked, since it is all that the image has.
const BUSYBOX: &str = "/bin/busybox";

/// What Podman needs where limits can't be raised and there is neither systemd nor a journal.
const PODMAN_SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// Whose daemon it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Docker,
    Podman,
}

/// A daemon, which runs until this is dropped.
pub(crate) struct Dockerd {
    kind: Kind,
    folder: TempDir,
    daemon: Option<Child>,
}

impl Dockerd {
    /// Starts a daemon and gives it [`IMAGE`].
    ///
    /// # Panics
    /// When this is not root or something is not installed: the text says what.
    pub(crate) fn start() -> Self {
        Self::start_kind(Kind::Docker)
    }

    /// The same of that kind.
    pub(crate) fn start_kind(kind: Kind) -> Self {
        let mut dockerd = Self::stopped();
        dockerd.kind = kind;
        dockerd.resume();
        dockerd.import_image();
        dockerd
    }

    /// A daemon that does not run yet, and has no image.
    pub(crate) fn stopped() -> Self {
        assert!(
            Uid::effective().is_root(),
            "a private dockerd needs root: run the test as root"
        );
        for (program, package) in [
            ("dockerd", "docker.io"),
            ("docker", "docker.io"),
            ("podman", "podman"),
            ("unshare", "util-linux"),
        ] {
            let found = Command::new(program).arg("--version").output();
            assert!(
                found.is_ok_and(|output| output.status.success()),
                "{program} can't be run: apt-get install {package}"
            );
        }
        assert!(
            Path::new(BUSYBOX).exists(),
            "there is no {BUSYBOX}: apt-get install busybox-static"
        );
        let folder = tempfile::Builder::new()
            .prefix("dockerd")
            .tempdir()
            .unwrap();
        Self {
            kind: Kind::Docker,
            folder,
            daemon: None,
        }
    }

    /// Starts the daemon, again after [`stop`](Self::stop): it still has its images, and the containers that were not
    /// removed, stopped.
    pub(crate) fn resume(&mut self) {
        assert!(self.daemon.is_none(), "it runs already");
        let log = File::create(self.path("log")).unwrap();
        let settings = self.path("containers.conf");
        fs::write(&settings, PODMAN_SETTINGS).unwrap();
        let path = |name: &str| self.path(name).display().to_string();
        let host = self.host();
        let daemon: Vec<String> = match self.kind {
            Kind::Docker => vec![
                "dockerd".into(),
                "--data-root".into(),
                path("data"),
                "--exec-root".into(),
                path("exec"),
                "--pidfile".into(),
                path("pid"),
                "--host".into(),
                host,
            ],
            Kind::Podman => vec![
                "podman".into(),
                "--root".into(),
                path("data"),
                "--runroot".into(),
                path("exec"),
                "--tmpdir".into(),
                path("tmp"),
                "system".into(),
                "service".into(),
                "--time".into(),
                "0".into(),
                host,
            ],
        };
        // Podman has its locks in shared memory, and never enough of them: it must not take those of another Podman.
        let shared = self.path("shm");
        fs::create_dir_all(&shared).unwrap();
        let shared = shared.display();
        // The script is replaced by the daemon, which so has the pid of the child.
        let daemon = Command::new("unshare")
            .args(["--net", "--mount", "--", BUSYBOX, "sh", "-c"])
            .arg(format!(
                "{BUSYBOX} ip link set lo up && {BUSYBOX} mount --bind {shared} /dev/shm && exec \"$@\""
            ))
            .arg("sh")
            .args(daemon)
            .env("CONTAINERS_CONF", settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        wait_until("dockerd answers", || {
            if let Some(status) = self
                .daemon
                .as_mut()
                .and_then(|daemon| daemon.try_wait().unwrap())
            {
                panic!("dockerd ended, {status}:\n{}", self.log());
            }
            self.command(&["version"])
                .output()
                .unwrap()
                .status
                .success()
        });
    }

    /// Kills the daemon as a crash would, and starts it again: what its containers do is the daemon's business.
    pub(crate) fn crash(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let _ = fs::remove_file(self.socket());
        // It ended with dockerd, but stays a zombie if nobody reaps it.
        let _ = fs::remove_file(self.path("exec/containerd/containerd.pid"));
        self.resume();
    }

    /// Stops the daemon. Its containers are killed, and removed if they were started with `--rm`.
    pub(crate) fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        // Killed first: the daemon would wait for each to end by itself.
        if let Ok(ids) = self.command(&["ps", "--quiet", "--no-trunc"]).output() {
            let ids = String::from_utf8_lossy(&ids.stdout).into_owned();
            let kill: Vec<_> = ["kill"].into_iter().chain(ids.split_whitespace()).collect();
            if kill.len() > 1 {
                let _ = self.command(&kill).output();
            }
        }
        let pid = Pid::from_raw(daemon.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let begun = Instant::now();
        while daemon.try_wait().is_ok_and(|status| status.is_none()) {
            if begun.elapsed() > DEADLINE {
                let _ = daemon.kill();
                let _ = daemon.wait();
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `docker` with these arguments. Returns its output without the last newline.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "docker {args:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    /// The socket as `DOCKER_HOST` has it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The pid that a container's first process has on the host.
    #[track_caller]
    pub(crate) fn pid_of(&self, container: &str) -> u32 {
        let pid = self.docker(&["inspect", "--format", "{{.State.Pid}}", container]);
        let pid = pid.parse().unwrap();
        assert_ne!(pid, 0, "{container} does not run");
        pid
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_CONFIG", self.path("config"))
            .env("DOCKER_HOST", self.host())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Gives the daemon [`IMAGE`].
    pub(crate) fn import_image(&self) {
        let bin = self.path("root/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(BUSYBOX, bin.join("busybox")).unwrap();
        let list = Command::new(BUSYBOX).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines() {
            if name != "busybox" {
                symlink("busybox", bin.join(name)).unwrap();
            }
        }
        let tar = self.path("image.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(self.path("root"))
            .arg("-cf")
            .arg(&tar)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        self.docker(&["import", &tar.display().to_string(), IMAGE]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The end of what the daemon has said.
    fn log(&self) -> String {
        let log = fs::read(self.path("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The daemon's mounts go with its mount namespace, its bridge and firewall rules with its network namespace, and the
/// rest with the folder.
impl Drop for Dockerd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for something that is bound to happen, but not for ever.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
