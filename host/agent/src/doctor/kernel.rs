//! The kernel: version, eBPF, type information, tracefs, lockdown.

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
        Err(error) => Check::missing("kernel", error.to_string(), "use a newer kernel"),
    }
}

fn ebpf(lacks: anyhow::Result<Vec<&'static str>>) -> Check {
    match lacks {
        Ok(lacks) if lacks.is_empty() => {
            Check::fine("eBPF", "ring buffer and programs on tracepoints")
        }
        Ok(lacks) => Check::missing(
            "eBPF",
            format!("the kernel lacks {}", lacks.join(", ")),
            "use a kernel that was built with it",
        ),
        Err(error) => Check::unknown("eBPF", format!("the kernel does not tell: {error:#}")),
    }
}

fn btf(missing: io::Result<Vec<String>>) -> Check {
    match missing {
        Ok(missing) if missing.is_empty() => {
            Check::fine("BTF", "has all members of structures that are needed")
        }
        Ok(missing) => Check::degraded(
            "BTF",
            format!("does not have {}", missing.join(", ")),
            "what is read from them",
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
            let how = if mounted { ", mounted just now" } else { "" };
            Check::fine("tracefs", format!("{path}{how}"))
        }
        Err(Error::NoTracefs { source }) => Check::missing(
            "tracefs",
            format!("is not mounted, and can't be: {source}"),
            "`mount -t tracefs tracefs /sys/kernel/tracing` as root; the kernel needs CONFIG_FTRACE",
        ),
        Err(_) => Check::missing(
            "tracefs",
            "may not be looked into",
            "run as root, or with CAP_DAC_READ_SEARCH",
        ),
    }
}

/// From the words of the security module, `none [integrity] confidentiality`, the one in force in brackets.
fn lockdown(text: io::Result<String>) -> Check {
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::fine("lockdown", "none that securityfs knows of");
        }
        Err(error) => return Check::unknown("lockdown", format!("read {LOCKDOWN}: {error}")),
    };
    let in_force = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match in_force {
        Some("confidentiality") => Check::missing(
            "lockdown",
            "confidentiality: eBPF may not read what the kernel knows",
            "boot with `lockdown=integrity`, or without lockdown",
        ),
        Some(level @ ("none" | "integrity")) => Check::fine("lockdown", level),
        _ => Check::unknown("lockdown", format!("{LOCKDOWN} says {}", text.trim())),
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
    fn type_information() {
        check(&btf(Ok(vec![])), State::Fine, "all members");
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
    fn tracefs_is_told_with_its_place() {
        let at = |mounted| {
            Ok(Tracefs {
                path: "/sys/kernel/tracing",
                mounted,
            })
        };
        check(&tracefs(at(false)), State::Fine, "\"/sys/kernel/tracing\"");
        check(&tracefs(at(true)), State::Fine, "mounted just now");
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
    fn only_the_strongest_lockdown_is_in_the_way() {
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
