//! The list of hooks: each with its program, and with what is lost if it can't be attached.

use std::{fmt, slice};

use lightmon_common::Offsets;

/// A tracepoint, and the program that runs there.
pub(super) struct Hook {
    /// The category of the tracepoint. `None`: a raw tracepoint.
    pub(super) category: Option<&'static str>,
    pub(super) name: &'static str,
    program: &'static str,
    /// What is lost without it.
    pub(super) lost: &'static str,
}

/// All hooks, in the order in which they are attached. The end of a call comes before its beginning, so that no beginning is stored
/// whose end is not seen. TCP is last, since it uses what the hooks of connect(2) store.
pub(super) static HOOKS: [Hook; 13] = [
    Hook {
        category: None,
        name: CGROUP_MIGRATIONS,
        program: CGROUP_MIGRATIONS,
        lost: "nothing; where cgroups of version 1 are in use, /proc is read at each exec",
    },
    hook(
        "cgroup",
        "cgroup_mkdir",
        "the container of processes that end at once",
    ),
    hook(
        "sched",
        "sched_process_exec",
        "path and arguments of processes that end at once",
    ),
    Hook {
        category: None,
        name: "sched_process_fork",
        program: "sched_process_fork",
        lost: "path and arguments of processes that never call exec and end at once",
    },
    send_exit_hook("sys_exit_sendto"),
    send_exit_hook("sys_exit_sendmsg"),
    hook("syscalls", "sys_exit_sendmmsg", SEND),
    hook("syscalls", "sys_enter_sendto", SEND),
    hook("syscalls", "sys_enter_sendmsg", SEND),
    hook("syscalls", "sys_enter_sendmmsg", SEND),
    hook("syscalls", "sys_exit_connect", CONNECT),
    hook("syscalls", "sys_enter_connect", CONNECT),
    hook("sock", TCP, "all of TCP"),
];

/// Counts cgroup migrations. It is attached first, so that each migration after the report of a process is counted.
pub(super) const CGROUP_MIGRATIONS: &str = "cgroup_attach_task";

/// Reports TCP. lightmon does not run without it.
pub(super) const TCP: &str = "inet_sock_set_state";

/// The two programs for the raw tracepoint [`TCP`]. `tcp_outcome` catches the outcomes for which the kernel skips `tcp_state`. It is
/// attached first, so that each connection that `tcp_state` stores gets its outcome.
pub(super) const RAW_TCP: [&str; 2] = ["tcp_outcome", "tcp_state"];

// What is lost without the beginning or the end of a system call.
const CONNECT: &str = "UDP sockets with a peer, connections that fail before a SYN, and `pending`";
const SEND: &str = "UDP sockets without a peer";

/// All hooks as `category:name` (`raw` for raw tracepoints), and what is lost without each.
pub fn hooks() -> impl Iterator<Item = (String, &'static str)> {
    HOOKS.iter().map(|hook| (hook.to_string(), hook.lost))
}

const fn hook(category: &'static str, name: &'static str, lost: &'static str) -> Hook {
    Hook {
        category: Some(category),
        name,
        program: name,
        lost,
    }
}

/// Both calls have the same program, so that the kernel verifies it only once.
const fn send_exit_hook(name: &'static str) -> Hook {
    Hook {
        program: "sys_exit_send",
        ..hook("syscalls", name, SEND)
    }
}

impl Hook {
    /// The programs for this hook. TCP has raw programs, which cost less, and a plain one for kernels without BTF.
    pub(super) fn programs(&self, offsets: &Offsets) -> &[&'static str] {
        if self.name == TCP && offsets.can_read_tcp() {
            &RAW_TCP
        } else {
            slice::from_ref(&self.program)
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.category.unwrap_or("raw"), self.name)
    }
}
