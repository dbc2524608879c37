//! The kernel: version, eBPF, BTF, tracefs, lockdown.

use std::{fs, io};

use super::report::Check;
use lightmon_capture::ebpf::{
    Error,
    requirements::{self, Tracefs},
};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

pub(super) fn checks() -> Vec<Check> {
    vec![
        kernel(requirements::kernel()),
        ebpf(requirements::missing_features()),
        btf(requirements::missing_members()),
        tracefs(requirements::tracefs()),
        lockdown(fs::read_to_string(LOCKDOWN)),
    ]
}

fn kernel(release: Result<String, Error>) -> Check {
    match release {
        Ok(release) => Check::fine("kernel", release),
        Err(error) => Check::missing("kernel", error.to_string(), "use Linux 5.8 or later"),
    }
}

fn ebpf(lacks: anyhow::Result<Vec<&'static str>>) -> Check {
    match lacks {
        Ok(lacks) if lacks.is_empty() => {
            Check::fine("eBPF", "supports ring buffer and programs on tracepoints")
        }
        Ok(lacks) => Check::missing(
            "eBPF",
            format!("the kernel lacks {}", lacks.join(", ")),
            "use a kernel that is built with it",
        ),
        Err(error) => Check::unknown("eBPF", format!("the check failed: {error:#}")),
    }
}

fn btf(missing: io::Result<Vec<String>>) -> Check {
    match missing {
        Ok(missing) if missing.is_empty() => {
            Check::fine("BTF", "has all structure members that lightmon reads")
        }
        Ok(missing) => Check::degraded(
            "BTF",
            format!("lacks {}", missing.join(", ")),
            "everything that lightmon reads from them",
        ),
        Err(error) => Check::degraded(
            "BTF",
            format!("read {}: {error}", requirements::BTF_PATH),
            requirements::WITHOUT_BTF,
        )
        .todo("use a kernel with CONFIG_DEBUG_INFO_BTF"),
    }
}

fn tracefs(tracefs: Result<Tracefs, Error>) -> Check {
    match tracefs {
        Ok(Tracefs { path, mounted }) => {
            let how = if mounted {
                ", mounted by this check"
            } else {
                ""
            };
            Check::fine("tracefs", format!("{path}{how}"))
        }
        Err(Error::NoTracefs { source }) => Check::missing(
            "tracefs",
            format!("not mounted, and mounting failed: {source}"),
            "run `mount -t tracefs tracefs /sys/kernel/tracing` as root; the kernel needs CONFIG_FTRACE",
        ),
        Err(_) => Check::missing(
            "tracefs",
            "permission denied",
            "run as root, or with CAP_DAC_READ_SEARCH",
        ),
    }
}

/// Reads the list of levels, `none [integrity] confidentiality`. The active one is in brackets.
fn lockdown(text: io::Result<String>) -> Check {
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::fine("lockdown", "none (securityfs has no lockdown file)");
        }
        Err(error) => return Check::unknown("lockdown", format!("read {LOCKDOWN}: {error}")),
    };
    let active = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match active {
        Some("confidentiality") => Check::missing(
            "lockdown",
            "confidentiality: eBPF programs cannot read kernel memory",
            "boot with `lockdown=integrity`, or without lockdown",
        ),
        Some(level @ ("none" | "integrity")) => Check::fine("lockdown", level),
        _ => Check::unknown(
            "lockdown",
            format!("unknown level in {LOCKDOWN}: {}", text.trim()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::State, *};

    #[track_caller]
    fn check(check: &Check, state: State, text: &str) {
        assert_eq!(check.state, state, "{check:?}");
        assert!(format!("{check:?}").contains(text), "{check:?}");
    }

    #[test]
    fn kernels() {
        check(&kernel(Ok("6.1".into())), State::Fine, "6.1");
        let old = Error::OldKernel {
            release: "5.4.0".into(),
        };
        check(&kernel(Err(old)), State::Missing, "5.4.0 is too old");
        check(&ebpf(Ok(vec![])), State::Fine, "ring buffer");
        check(
            &ebpf(Ok(vec!["this", "that"])),
            State::Missing,
            "lacks this, that",
        );
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        check(&ebpf(Err(denied.into())), State::Unknown, "denied");
    }

    #[test]
    fn btf_members() {
        check(&btf(Ok(vec![])), State::Fine, "all structure members");
        check(
            &btf(Ok(vec!["sock.sk_err".into()])),
            State::Degraded,
            "sock.sk_err",
        );
        let none = btf(Err(io::ErrorKind::NotFound.into()));
        check(&none, State::Degraded, "CONFIG_DEBUG_INFO_BTF");
        assert_eq!(none.lost.as_deref(), Some(requirements::WITHOUT_BTF));
    }

    #[test]
    fn tracefs_is_reported_with_its_path() {
        let at = |mounted| {
            Ok(Tracefs {
                path: "/sys/kernel/tracing",
                mounted,
            })
        };
        check(&tracefs(at(false)), State::Fine, "\"/sys/kernel/tracing\"");
        check(&tracefs(at(true)), State::Fine, "mounted by this check");
        let source = io::ErrorKind::PermissionDenied.into();
        check(
            &tracefs(Err(Error::NoTracefs { source })),
            State::Missing,
            "mount -t tracefs",
        );
        check(
            &tracefs(Err(Error::NotAllowed)),
            State::Missing,
            "CAP_DAC_READ_SEARCH",
        );
    }

    #[test]
    fn only_confidentiality_lockdown_is_a_problem() {
        for (text, state) in [
            ("[none] integrity confidentiality\n", State::Fine),
            ("none [integrity] confidentiality\n", State::Fine),
            ("none integrity [confidentiality]\n", State::Missing),
            ("none integrity confidentiality\n", State::Unknown),
            ("[total]", State::Unknown),
            ("", State::Unknown),
        ] {
            check(&lockdown(Ok(text.into())), state, "lockdown");
        }
        let error = |kind: io::ErrorKind| lockdown(Err(kind.into()));
        check(&error(io::ErrorKind::NotFound), State::Fine, "none");
        check(&error(io::ErrorKind::PermissionDenied), State::Unknown, "");
    }
}
