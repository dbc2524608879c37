//! Parses the path of a cgroup: finds the id of a container, by the names that runtimes give to cgroups, or the systemd unit.

use lightmon_event::Unit;

/// The prefixes that runtimes put before the id. `conmon` is not among them on purpose: the monitor process of Podman and CRI-O
/// runs beside its container, not in it.
const PREFIXES: &[&str] = &[
    "docker",
    "cri-containerd",
    "crio",
    "libpod",
    "libpod-payload",
    "nerdctl",
];

/// The types of units that processes can be in, and slices.
const UNITS: &[&str] = &["service", "scope", "slice", "socket", "mount", "swap"];

/// Longest name of a unit: systemd's UNIT_NAME_MAX - 1.
const MAX_UNIT_NAME_BYTES: usize = 255;

/// The id of the container that a cgroup with this path belongs to. If a runtime runs inside of a container
/// (`/docker/OUTER/docker/INNER`), it is the innermost one.
pub(crate) fn container_id(path: &[u8]) -> Option<&str> {
    ids(path).next_back()
}

/// Whether this is a container id as runtimes make them: 64 hex digits.
pub(crate) fn is_id(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The ids of the containers around a cgroup, the outermost first.
pub(super) fn ids(path: &[u8]) -> impl DoubleEndedIterator<Item = &str> {
    path.split(|&b| b == b'/').filter_map(id_in)
}

/// The id in one folder's name: `ID`, `docker-ID`, `docker-ID.scope` or `SLICE:docker:ID`.
fn id_in(folder: &[u8]) -> Option<&str> {
    // The kernel adds it to the path of a removed cgroup that still has a task.
    let name = folder.strip_suffix(b" (deleted)").unwrap_or(folder);
    let name = name.strip_suffix(b".scope").unwrap_or(name);
    let (before, id) = name.split_at(name.len().checked_sub(64)?);
    // When containerd manages cgroups itself, it takes systemd's notation `SLICE:docker:ID` for the name of a folder.
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

/// The systemd unit that a cgroup with this path belongs to: the first that is not a slice, as in systemd's
/// cg_path_get_unit(). If that is the service manager of a user, the unit below it is taken, which says more.
pub(super) fn unit(path: &[u8]) -> Option<Unit> {
    let mut unit = Unit::default();
    let mut slice = "";
    for folder in path.split(|&b| b == b'/').filter(|it| !it.is_empty()) {
        let Some(name) = unit_name(folder) else {
            break;
        };
        if name.ends_with(".slice") {
            slice = name;
            continue;
        }
        unit = Unit {
            name: name.into(),
            slice: slice.into(),
        };
        if !(name.starts_with("user@") && name.ends_with(".service")) {
            break;
        }
    }
    if unit.name.is_empty() {
        unit.slice = slice.into();
    }
    (unit != Unit::default()).then_some(unit)
}

/// The name of a folder, if it is a valid name of a unit (systemd.unit(5)).
fn unit_name(folder: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(folder).ok()?;
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    // systemd puts `_` before names that the kernel uses for files of its own.
    let name = name.strip_prefix('_').unwrap_or(name);
    let (before, kind) = name.rsplit_once('.')?;
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    (!before.is_empty()
        && name.len() <= MAX_UNIT_NAME_BYTES
        && UNITS.contains(&kind)
        && before.bytes().all(is_valid))
    .then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";
    const B: &str = "a95f1d854e121d5fb9b063ebd7ebbb9b68838a81394eee3fc5abc063f5cfe4f9";

    /// `{A}` and `{B}` in the path stand for two ids.
    #[track_caller]
    fn check(path: &str, expect: Option<&str>) {
        let path = path.replace("{A}", A).replace("{B}", B);
        assert_eq!(container_id(path.as_bytes()), expect, "{path}");
    }

    /// Each line has the columns ID, PATH and SOURCE, with two or more spaces between them. `-` means no container.
    #[test]
    fn recorded_paths() {
        let table = include_str!("../../../../agent/tests/fixtures/cgroup-paths.txt");
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        for row in rows {
            let mut columns = row.split("  ").map(str::trim).filter(|it| !it.is_empty());
            let [Some(id), Some(path), Some(_source)] = [(); 3].map(|()| columns.next()) else {
                panic!("three columns expected: {row:?}");
            };
            let expect = match id {
                "A" => Some(A),
                "B" => Some(B),
                "-" => None,
                _ => panic!("A, B or - expected: {row:?}"),
            };
            check(path, expect);
        }
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
            // BuildKit (docker build): not a container of the runtime
            "/docker/buildkit/0mh9qzqczdvckmbi8n1gdcfp1",
            // the monitors of CRI-O and podman
            "/system.slice/crio-conmon-{A}.scope",
            "/machine.slice/libpod-conmon-{A}.scope",
            // 64 hex digits that are part of a longer name
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

    #[track_caller]
    fn check_unit(path: &str, expect: Option<(&str, &str)>) {
        let expect = expect.map(|(name, slice)| Unit {
            name: name.into(),
            slice: slice.into(),
        });
        assert_eq!(unit(path.as_bytes()), expect, "{path}");
    }

    #[test]
    fn units_of_paths() {
        check_unit(
            "/system.slice/nginx.service",
            Some(("nginx.service", "system.slice")),
        );
        check_unit(
            "/user.slice/user-1000.slice/session-3.scope",
            Some(("session-3.scope", "user-1000.slice")),
        );
        // below the unit, in its delegated subtree
        check_unit(
            "/system.slice/web.service/worker/1",
            Some(("web.service", "system.slice")),
        );
        // an instance, in the slice of its template: the inner slice
        check_unit(
            "/system.slice/system-getty.slice/getty@tty1.service",
            Some(("getty@tty1.service", "system-getty.slice")),
        );
        // below the service manager of a user: a unit of it, or itself
        check_unit(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service",
            Some(("sync.service", "app.slice")),
        );
        check_unit(
            "/user.slice/user-1000.slice/user@1000.service/app.slice",
            Some(("user@1000.service", "user-1000.slice")),
        );
        // a machine: its own units are not units of the host
        check_unit(
            "/machine.slice/machine-web.scope/payload/system.slice/ssh.service",
            Some(("machine-web.scope", "machine.slice")),
        );
        check_unit("/lxc.payload.web/system.slice/ssh.service", None);
        check_unit("/init.scope", Some(("init.scope", "")));
        check_unit("/system.slice", Some(("", "system.slice")));
        check_unit(
            "/system.slice/_cpu.service (deleted)",
            Some(("cpu.service", "system.slice")),
        );
        for path in ["", "/", "/..", "/../ssh.service", "/ssh", "/.service"] {
            check_unit(path, None);
        }
        check_unit("/a\x1b[31mb.service", None);
        check_unit(&format!("/{}.service", "x".repeat(248)), None);
    }
}
