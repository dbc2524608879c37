//! The current task: its identity, and whether it is lightmon itself.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated},
};
use lightmon_common::{SelfProcess, TASK_COMM_LEN, Task};

use crate::kernel::{offsets, read_or_zero};

/// The host sets it before it loads the program.
#[unsafe(no_mangle)]
static SELF_PROCESS: SelfProcess = SelfProcess::UNKNOWN;

/// The identity of the current task. Fields that need BTF are 0 without it.
#[inline(always)]
pub fn current() -> Task {
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    let task = current_pointer();
    let at = offsets();
    let parent = read_or_zero(task, at.task_real_parent);
    Task {
        started_ns: started_ns(task),
        parent_started_ns: started_ns(parent),
        // SAFETY: takes no argument, reads the current task only.
        cgroup_id: unsafe { generated::bpf_get_current_cgroup_id() },
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        ppid: read_or_zero(parent, at.task_tgid),
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        is_self: is_self(),
        exec_id: exec_id(task),
        comm: comm(),
    }
}

#[inline(always)]
fn comm() -> [u8; TASK_COMM_LEN] {
    let mut comm = [0; TASK_COMM_LEN];
    // If the helper fails, it leaves zeros. No branch for that, see [`kernel`](crate::kernel).
    // SAFETY: `comm` has the length that is passed.
    unsafe { generated::bpf_get_current_comm(comm.as_mut_ptr().cast(), TASK_COMM_LEN as u32) };
    comm
}

#[inline(always)]
fn self_process() -> &'static SelfProcess {
    // `black_box`: the compiler must not fold the initial value in.
    // SAFETY: a static that nobody writes.
    unsafe { &*core::hint::black_box(&raw const SELF_PROCESS) }
}

/// Whether the current task is lightmon. lightmon may run in a pid namespace, where it knows only its own process id there.
#[inline(always)]
pub fn is_lightmon() -> bool {
    let lightmon = self_process();
    let mut current = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: the helper fills `current`, or fails if the task is in another namespace.
    lightmon.pid_ns_ino != 0
        && unsafe {
            generated::bpf_get_ns_current_pid_tgid(
                lightmon.pid_ns_dev,
                lightmon.pid_ns_ino,
                &raw mut current,
                size_of::<bpf_pidns_info>() as u32,
            )
        } == 0
        && current.tgid == lightmon.tgid
}

/// 1 if the connections of the current task are lightmon's own, which are counted separately, else 0. Always 0 if the user wants
/// them to be reported like all others. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_self() -> u32 {
    (self_process().is_reported == 0 && is_lightmon()).into()
}

/// See [`Task::exec_id`].
#[inline(always)]
pub fn exec_id(task: u64) -> u64 {
    let at = offsets();
    read_or_zero(read_or_zero(task, at.task_mm), at.mm_arg_start)
}

/// Start time of the process that a task belongs to; 0 if it is not known.
#[inline(always)]
pub fn started_ns(task: u64) -> u64 {
    let at = offsets();
    read_or_zero(
        read_or_zero(task, at.task_group_leader),
        at.task_start_boottime,
    )
}

/// The current `struct task_struct *`.
#[inline(always)]
pub fn current_pointer() -> u64 {
    // SAFETY: takes no argument; the result is only read through the probe helpers.
    unsafe { generated::bpf_get_current_task() }
}
