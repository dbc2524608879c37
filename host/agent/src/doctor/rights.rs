//! The capabilities of lightmon, and its namespaces.

use std::io;

use super::report::Check;
use lightmon_capture::ebpf::requirements::{self, Capabilities, Namespace};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = match Capabilities::effective() {
        Ok(capabilities) => of_capabilities(capabilities, is_memory_limited()),
        Err(error) => vec![Check::unknown(
            "capabilities",
            format!("read /proc/self/status: {error}"),
        )],
    };
    checks.extend(
        [Namespace::User, Namespace::Pid, Namespace::Cgroup]
            .map(|namespace| of_namespace(namespace, namespace.is_host())),
    );
    checks
}

fn is_memory_limited() -> bool {
    requirements::kernel().is_ok_and(|release| requirements::is_memory_limited(&release))
}

fn of_capabilities(capabilities: Capabilities, is_memory_limited: bool) -> Vec<Check> {
    const LOAD: &str = "CAP_BPF, CAP_PERFMON";
    let load = match capabilities {
        all if all.has(Capabilities::BPF.and(Capabilities::PERFMON)) => {
            Check::fine(LOAD, "present, to load and attach programs")
        }
        all if all.may_load() => Check::fine(LOAD, "CAP_SYS_ADMIN includes them"),
        _ => Check::missing(
            LOAD,
            "missing: lightmon cannot load eBPF programs",
            "run as root, or with CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
        ),
    };
    let others = [
        (
            "CAP_SYS_PTRACE",
            Capabilities::SYS_PTRACE,
            "path and start time of other users' processes that started before lightmon",
        ),
        (
            "CAP_DAC_READ_SEARCH",
            Capabilities::DAC_READ_SEARCH,
            "files in /proc and tracefs that this user cannot read",
        ),
    ];
    let mut checks = vec![load];
    checks.extend(others.map(
        |(name, capability, lost)| match capabilities.has(capability) {
            true => Check::fine(name, "present, to read about other processes"),
            false => {
                Check::degraded(name, "missing", lost).todo("run as root, or with this capability")
            }
        },
    ));
    if is_memory_limited {
        checks.push(Check::missing(
            "CAP_SYS_RESOURCE",
            "missing: before Linux 5.11, the limit on locked memory is too low for maps",
            "run as root, with this capability, or with `ulimit -l unlimited`",
        ));
    }
    checks
}

fn of_namespace(namespace: Namespace, is_host: io::Result<bool>) -> Check {
    let name = match namespace {
        Namespace::User => "user namespace",
        Namespace::Pid => "pid namespace",
        Namespace::Cgroup => "cgroup namespace",
    };
    match (is_host, namespace) {
        (Ok(true), _) => Check::fine(name, "the host's"),
        (Err(error), _) => Check::unknown(name, format!("read /proc/self/ns: {error}")),
        (Ok(false), Namespace::User) => Check::missing(
            name,
            "not the host's: its capabilities do not apply to eBPF",
            "run lightmon outside of the rootless container",
        ),
        (Ok(false), Namespace::Pid) => Check::degraded(
            name,
            "not the host's: events have pids of the host, /proc has others",
            "path, arguments and container of processes that started before lightmon",
        )
        .todo("run the container with `--pid=host`"),
        (Ok(false), Namespace::Cgroup) => Check::degraded(
            name,
            "not the host's: cgroups outside of the namespace have no path",
            "some containers that started before lightmon",
        )
        .todo("run the container with `--cgroupns=host`"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::State, *};

    fn states(capabilities: &[Capabilities], is_memory_limited: bool) -> Vec<State> {
        let status = capabilities
            .iter()
            .fold(Capabilities::default(), |all, one| all.and(*one));
        of_capabilities(status, is_memory_limited)
            .iter()
            .map(|check| check.state)
            .collect()
    }

    #[test]
    fn each_missing_capability_is_reported() {
        use State::{Degraded, Fine, Missing};
        let [bpf, perfmon, admin, ptrace, read] = [
            Capabilities::BPF,
            Capabilities::PERFMON,
            Capabilities::SYS_ADMIN,
            Capabilities::SYS_PTRACE,
            Capabilities::DAC_READ_SEARCH,
        ];
        assert_eq!(states(&[], false), [Missing, Degraded, Degraded]);
        assert_eq!(states(&[bpf], false), [Missing, Degraded, Degraded]);
        assert_eq!(states(&[bpf, perfmon], false), [Fine, Degraded, Degraded]);
        assert_eq!(states(&[admin, ptrace], false), [Fine, Fine, Degraded]);
        assert_eq!(
            states(&[bpf, perfmon, ptrace, read], false),
            [Fine, Fine, Fine]
        );
        assert_eq!(
            states(&[admin, ptrace, read], true),
            [Fine, Fine, Fine, Missing]
        );
    }

    #[test]
    fn namespaces_of_a_container() {
        for (namespace, state, todo) in [
            (Namespace::User, State::Missing, "outside"),
            (Namespace::Pid, State::Degraded, "--pid=host"),
            (Namespace::Cgroup, State::Degraded, "--cgroupns=host"),
        ] {
            assert_eq!(of_namespace(namespace, Ok(true)).state, State::Fine);
            let error = io::ErrorKind::NotFound.into();
            assert_eq!(of_namespace(namespace, Err(error)).state, State::Unknown);
            let check = of_namespace(namespace, Ok(false));
            assert_eq!(check.state, state);
            assert!(check.todo.as_ref().unwrap().contains(todo), "{check:?}");
        }
    }
}
