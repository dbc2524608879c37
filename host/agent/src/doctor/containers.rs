//! What is needed to say which container a process is in: the layout of cgroups, and the runtimes that know names.

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

/// How long a runtime may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of each user's own Podman: `/run/user/UID/` and this.
const ROOTLESS_PODMAN: &str = "podman/podman.sock";
const RUN_USER: &str = "/run/user";
const NAMES: &str = "names, images and labels of its containers; their id is known";

/// Which hierarchies there are, from the mounts that this process sees.
pub(super) fn cgroups() -> Check {
    match fs::read_to_string("/proc/self/mounts") {
        Ok(mounts) => layout(&mounts),
        Err(error) => Check::unknown("cgroups", format!("read /proc/self/mounts: {error}")),
    }
}

/// `mounts` as in proc_pid_mounts(5): device, place, kind and options of each.
fn layout(mounts: &str) -> Check {
    const LOST: &str = "the container of processes that end at once";
    let is_mounted = |wanted: &str| {
        mounts
            .lines()
            .any(|line| line.split(' ').nth(2) == Some(wanted))
    };
    match (is_mounted("cgroup2"), is_mounted("cgroup")) {
        (true, false) => Check::fine("cgroups", "version 2: each has an id that the kernel tells"),
        (true, true) => Check::degraded(
            "cgroups",
            "hybrid, versions 1 and 2",
            format!("{LOST}, where a runtime uses version 1 only"),
        )
        .todo("boot with `systemd.unified_cgroup_hierarchy=1`"),
        (false, true) => Check::degraded("cgroups", "version 1", LOST)
            .todo("boot with `systemd.unified_cgroup_hierarchy=1`"),
        (false, false) => Check::degraded(
            "cgroups",
            "not mounted where lightmon is",
            format!("{LOST} or that are older than lightmon"),
        )
        .todo("mount /sys/fs/cgroup into lightmon's container"),
    }
}

/// What came of asking a runtime.
#[derive(Debug)]
enum Answer {
    /// Its name and version.
    Here(String),
    Absent,
    Denied,
    Failed(String),
}

/// Asks the Docker daemon at `host` (the usual one if `None`), the CRI runtimes at these sockets (the usual ones if empty), and
/// looks for other runtimes.
pub(super) fn runtimes(host: Option<&str>, cri_sockets: Vec<String>) -> Vec<Check> {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![Check::unknown(
                "container runtimes",
                format!("start the runtime: {error}"),
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
            None => Answer::Failed("only unix sockets can be asked".to_owned()),
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
    let is_docker = matches!(answer, Answer::Here(_));
    checks.extend(
        cri.into_iter()
            .filter_map(|(answer, socket)| of_cri(&socket, answer.as_ref(), are_given, is_docker)),
    );
    checks
}

/// The socket that the monitor would watch; `None` when it would not.
fn watched(host: Option<&str>) -> Option<PathBuf> {
    let host = host.unwrap_or(DEFAULT_SOCKET);
    let socket = host.strip_prefix("unix://").unwrap_or(host);
    socket.starts_with('/').then(|| socket.into())
}

/// Podman's sockets that are there.
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
    // bollard says of each failure to connect the same; what connect(2) says is worth more.
    match timeout(PATIENCE, tokio::net::UnixStream::connect(socket)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => return Answer::Denied,
        Ok(Err(error)) => return Answer::Failed(error.to_string()),
        _ => {}
    }
    let version = async {
        let socket = socket.to_string_lossy();
        // Its own time limit is for one question of two.
        Docker::connect_with_unix(&socket, 2 * PATIENCE.as_secs(), API_DEFAULT_VERSION)?
            .negotiate_version()
            .await?
            .version()
            .await
    };
    match timeout(PATIENCE, version).await {
        Ok(Ok(told)) => {
            let name = told.platform.map(|platform| platform.name);
            let name = name.filter(|name| !name.is_empty());
            let version = told.version.unwrap_or_default();
            Answer::Here(match name {
                Some(name) => format!("{name} {version}"),
                None => version,
            })
        }
        Ok(Err(error)) => Answer::Failed(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Answer::Failed(format!("no answer within {PATIENCE:?}")),
    }
}

/// `None`: it listens, but its CRI is off.
async fn ask_cri(socket: &Path) -> Option<Answer> {
    Some(match timeout(PATIENCE, cri::version(socket)).await {
        Ok(Ok(version)) => Answer::Here(version),
        Ok(Err(error)) if error.is_absent() => Answer::Absent,
        Ok(Err(error)) if error.is_permission() => Answer::Denied,
        Ok(Err(error)) if error.is_unimplemented() => return None,
        Ok(Err(error)) => Answer::Failed(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Answer::Failed(format!("no answer within {PATIENCE:?}")),
    })
}

fn of_docker(host: Option<&str>, answer: &Answer) -> Check {
    let at = host.unwrap_or(DEFAULT_SOCKET);
    match answer {
        Answer::Here(version) => Check::fine("Docker", format!("answers at {at}: {version}")),
        // Nobody has said that there is one.
        Answer::Absent if host.is_none() => Check::fine("Docker", format!("none at {at}")),
        Answer::Absent => Check::degraded("Docker", format!("nothing is at {at}"), NAMES)
            .todo("start it, or say where it is with --docker-host"),
        Answer::Denied => Check::degraded("Docker", format!("{at}: permission denied"), NAMES)
            .todo("run as root or as a member of the group docker"),
        Answer::Failed(error) => Check::degraded("Docker", format!("{at}: {error}"), NAMES)
            .todo("start it, or say where it is with --docker-host unix:///path"),
    }
}

/// A Podman: the monitor asks root's by itself, other users' and those beside a given daemon only when they are given too.
fn of_podman(socket: &Path, answer: &Answer, by_itself: bool) -> Option<Check> {
    let at = socket.display();
    if by_itself && socket == Path::new(PODMAN_SOCKET) {
        return match answer {
            Answer::Here(version) => {
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
        Answer::Here(version) => format!("answers at {at}: {version}; not the one that is asked"),
        Answer::Denied => format!("is at {at}, not the one that is asked"),
        Answer::Failed(error) => format!("{at}: {error}; not the one that is asked"),
        Answer::Absent => return None,
    };
    Some(
        Check::degraded("Podman", found, NAMES)
            .todo(format!("`--docker-host unix://{at}`, if it is to be asked")),
    )
}

/// A runtime of pods. Of those that nobody has promised, only the ones that are there; Docker's own containerd has none.
fn of_cri(
    socket: &Path,
    answer: Option<&Answer>,
    is_given: bool,
    is_docker: bool,
) -> Option<Check> {
    const NAME: &str = "CRI";
    const WHERE: &str = "start it, or say where it is with --cri-socket";
    let at = socket.display();
    let lost = |found: String| Check::degraded(NAME, found, NAMES);
    Some(match answer {
        Some(Answer::Here(version)) => Check::fine(NAME, format!("answers at {at}: {version}")),
        Some(Answer::Absent) if !is_given => return None,
        Some(Answer::Absent) => lost(format!("nothing is at {at}")).todo(WHERE),
        Some(Answer::Denied) => lost(format!("{at}: permission denied")).todo("run as root"),
        Some(Answer::Failed(error)) => lost(format!("{at}: {error}")).todo(WHERE),
        None if is_docker && !is_given => {
            Check::fine(NAME, format!("off at {at}, which is Docker's"))
        }
        None => lost(format!("{at} does not speak the CRI v1 API"))
            .todo("take `cri` out of disabled_plugins in containerd's config.toml"),
    })
}

#[cfg(test)]
mod tests;
