//! What lightmon needs to name the container of a process: the cgroup hierarchies, and the container runtimes.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::{runtime, task::JoinSet, time::timeout};

use super::report::Check;
use lightmon_identity::container::{
    cri,
    docker::{DEFAULT_SOCKET, PODMAN_SOCKET},
};

/// Longest time for an answer of a runtime.
const RUNTIME_TIMEOUT: Duration = Duration::from_secs(2);

/// Socket of a user's Podman, below `/run/user/UID/`.
const ROOTLESS_PODMAN: &str = "podman/podman.sock";
const RUN_USER: &str = "/run/user";
const NAMES: &str = "names, images and labels of its containers; lightmon reports the ids only";

/// Checks which cgroup hierarchies are mounted.
pub(super) fn cgroups() -> Check {
    match fs::read_to_string("/proc/self/mounts") {
        Ok(mounts) => layout(&mounts),
        Err(error) => Check::unknown("cgroups", format!("read /proc/self/mounts: {error}")),
    }
}

/// `mounts` as in proc_pid_mounts(5): device, path, type and options of each.
fn layout(mounts: &str) -> Check {
    const LOST: &str = "the container of processes that end at once";
    let is_mounted = |wanted: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(wanted))
    };
    match (is_mounted("cgroup2"), is_mounted("cgroup")) {
        (true, false) => Check::fine(
            "cgroups",
            "version 2: the kernel gives an id for each cgroup",
        ),
        (true, true) => Check::degraded(
            "cgroups",
            "hybrid, versions 1 and 2",
            format!("{LOST}, if the runtime uses version 1"),
        )
        .todo("boot with `systemd.unified_cgroup_hierarchy=1`"),
        (false, true) => Check::degraded("cgroups", "version 1", LOST)
            .todo("boot with `systemd.unified_cgroup_hierarchy=1`"),
        (false, false) => Check::degraded(
            "cgroups",
            "not mounted in lightmon's mount namespace",
            format!("{LOST} or started before lightmon"),
        )
        .todo("mount /sys/fs/cgroup into lightmon's container"),
    }
}

/// The answer of a runtime.
#[derive(Debug)]
enum Answer {
    /// It answered with name and version.
    Version(String),
    Absent,
    Denied,
    Failed(String),
}

/// Checks the Docker daemon at `host` (if `None`, the usual one), the CRI runtimes at these sockets (if empty, the usual ones),
/// and other runtimes that it finds.
pub(super) fn runtimes(host: Option<&str>, cri_sockets: Vec<String>) -> Vec<Check> {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![Check::unknown(
                "container runtimes",
                format!("start tokio: {error}"),
            )];
        }
    };
    let docker = watched(host);
    let others = podmen().into_iter().filter(|podman| {
        !docker
            .as_deref()
            .is_some_and(|docker| is_same(docker, podman))
    });
    let are_given = !cri_sockets.is_empty();
    let (answer, mut podmen, mut cri) = runtime.block_on(async {
        let cri: JoinSet<_> = cri::sockets(cri_sockets)
            .into_iter()
            .map(async |socket| (ask_cri(&socket).await, socket))
            .collect();
        let asked: JoinSet<_> = others
            .map(async |podman| (ask(&podman).await, podman))
            .collect();
        let answer = match &docker {
            Some(socket) => ask(socket).await,
            None => Answer::Failed("lightmon supports unix sockets only".to_owned()),
        };
        (answer, asked.join_all().await, cri.join_all().await)
    });
    podmen.sort_by(|(_, a), (_, b)| a.cmp(b));
    cri.sort_by(|(_, a), (_, b)| a.cmp(b));
    let mut checks = vec![of_docker(host, &answer)];
    checks.extend(
        podmen
            .into_iter()
            .filter_map(|(answer, socket)| of_podman(&socket, &answer, host.is_none())),
    );
    let is_docker = matches!(answer, Answer::Version(_));
    checks.extend(
        cri.into_iter()
            .filter_map(|(answer, socket)| of_cri(&socket, answer.as_ref(), are_given, is_docker)),
    );
    checks
}

/// Returns the socket that the monitor would watch; `None` if it would watch none.
fn watched(host: Option<&str>) -> Option<PathBuf> {
    let host = host.unwrap_or(DEFAULT_SOCKET);
    let socket = host.strip_prefix("unix://").unwrap_or(host);
    socket.starts_with('/').then(|| socket.into())
}

/// Returns the sockets of Podman that exist.
fn podmen() -> Vec<PathBuf> {
    let users = fs::read_dir(RUN_USER).into_iter().flatten().flatten();
    let rootless = users.map(|user| user.path().join(ROOTLESS_PODMAN));
    [PODMAN_SOCKET.into()]
        .into_iter()
        .chain(rootless)
        .filter(|socket: &PathBuf| socket.exists())
        .collect()
}

/// Whether both are the same file: /var/run is a link to /run.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

async fn ask(socket: &Path) -> Answer {
    match fs::metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Answer::Absent,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Answer::Denied,
        _ => {}
    }
    // bollard has one error for every failure to connect; the error of connect(2) says more.
    match timeout(RUNTIME_TIMEOUT, tokio::net::UnixStream::connect(socket)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => return Answer::Denied,
        Ok(Err(error)) => return Answer::Failed(error.to_string()),
        _ => {}
    }
    let version = async {
        let socket = socket.to_string_lossy();
        // bollard's timeout is for one of two requests.
        Docker::connect_with_unix(&socket, 2 * RUNTIME_TIMEOUT.as_secs(), API_DEFAULT_VERSION)?
            .negotiate_version()
            .await?
            .version()
            .await
    };
    match timeout(RUNTIME_TIMEOUT, version).await {
        Ok(Ok(told)) => {
            let name = told.platform.map(|platform| platform.name);
            let name = name.filter(|name| !name.is_empty());
            let version = told.version.unwrap_or_default();
            Answer::Version(match name {
                Some(name) => format!("{name} {version}"),
                None => version,
            })
        }
        Ok(Err(error)) => Answer::Failed(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Answer::Failed(format!("no answer within {RUNTIME_TIMEOUT:?}")),
    }
}

/// Returns `None` if the runtime listens, but its CRI is disabled.
async fn ask_cri(socket: &Path) -> Option<Answer> {
    Some(match timeout(RUNTIME_TIMEOUT, cri::version(socket)).await {
        Ok(Ok(version)) => Answer::Version(version),
        Ok(Err(error)) if error.is_absent() => Answer::Absent,
        Ok(Err(error)) if error.is_permission() => Answer::Denied,
        Ok(Err(error)) if error.is_unimplemented() => return None,
        Ok(Err(error)) => Answer::Failed(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Answer::Failed(format!("no answer within {RUNTIME_TIMEOUT:?}")),
    })
}

fn of_docker(host: Option<&str>, answer: &Answer) -> Check {
    let at = host.unwrap_or(DEFAULT_SOCKET);
    match answer {
        Answer::Version(version) => Check::fine("Docker", format!("answers at {at}: {version}")),
        // The user named no daemon.
        Answer::Absent if host.is_none() => Check::fine("Docker", format!("none at {at}")),
        Answer::Absent => Check::degraded("Docker", format!("no socket at {at}"), NAMES)
            .todo("start it, or set its socket with --docker-host"),
        Answer::Denied => Check::degraded("Docker", format!("{at}: permission denied"), NAMES)
            .todo("run as root or as a member of the group docker"),
        Answer::Failed(error) => Check::degraded("Docker", format!("{at}: {error}"), NAMES)
            .todo("start it, or set its socket with --docker-host unix:///path"),
    }
}

/// Checks a Podman. The monitor asks root's Podman by default. It asks other users' Podman only if --docker-host names it.
fn of_podman(socket: &Path, answer: &Answer, by_itself: bool) -> Option<Check> {
    let at = socket.display();
    if by_itself && socket == Path::new(PODMAN_SOCKET) {
        return match answer {
            Answer::Version(version) => {
                Some(Check::fine("Podman", format!("answers at {at}: {version}")))
            }
            Answer::Absent => None,
            Answer::Denied => Some(
                Check::degraded("Podman", format!("{at}: permission denied"), NAMES)
                    .todo("run as root"),
            ),
            Answer::Failed(error) => Some(
                Check::degraded("Podman", format!("{at}: {error}"), NAMES)
                    .todo("start it: systemctl start podman.socket"),
            ),
        };
    }
    let found = match answer {
        Answer::Version(version) => format!("answers at {at}: {version}; lightmon does not ask it"),
        Answer::Denied => format!("found at {at}; lightmon does not ask it"),
        Answer::Failed(error) => format!("{at}: {error}; lightmon does not ask it"),
        Answer::Absent => return None,
    };
    Some(
        Check::degraded("Podman", found, NAMES)
            .todo(format!("to ask it, use `--docker-host unix://{at}`")),
    )
}

/// Checks a CRI runtime. A runtime that the user did not name is reported only if it exists. Docker's containerd has no CRI.
fn of_cri(
    socket: &Path,
    answer: Option<&Answer>,
    is_given: bool,
    is_docker: bool,
) -> Option<Check> {
    const NAME: &str = "CRI";
    const WHERE: &str = "start it, or set its socket with --cri-socket";
    let at = socket.display();
    let lost = |found: String| Check::degraded(NAME, found, NAMES);
    Some(match answer {
        Some(Answer::Version(version)) => Check::fine(NAME, format!("answers at {at}: {version}")),
        Some(Answer::Absent) if !is_given => return None,
        Some(Answer::Absent) => lost(format!("no socket at {at}")).todo(WHERE),
        Some(Answer::Denied) => lost(format!("{at}: permission denied")).todo("run as root"),
        Some(Answer::Failed(error)) => lost(format!("{at}: {error}")).todo(WHERE),
        None if is_docker && !is_given => {
            Check::fine(NAME, format!("disabled at {at}, the containerd of Docker"))
        }
        None => lost(format!("{at} does not speak the CRI v1 API"))
            .todo("remove `cri` from disabled_plugins in containerd's config.toml"),
    })
}

#[cfg(test)]
mod tests;
