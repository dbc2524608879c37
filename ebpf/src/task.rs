//! The current task: who it is, and the socket behind one of its file descriptors.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid, generated},
};
use lightmon_common::{COMM_LEN, Own, Task};

use crate::kernel::{offsets, read};

/// Set by the host before it loads the program.
#[unsafe(no_mangle)]
static OWN: Own = Own::NONE;

/// The current task's identity. What only BTF tells is 0 without it.
#[inline(always)]
pub fn current() -> Task {
    let pid_tgid = bpf_get_current_pid_tgid();
    let uid_gid = bpf_get_current_uid_gid();
    let task = pointer_to_current();
    let at = offsets();
    let parent = read(task, at.task_real_parent);
    Task {
        started_ns: started(task),
        parent_started_ns: started(parent),
        // SAFETY: takes no argument, reads the current task only.
        cgroup_id: unsafe { generated::bpf_get_current_cgroup_id() },
        tgid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        ppid: read(parent, at.task_tgid),
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        own: is_counted_apart(),
        image: image(task),
        comm: comm(),
    }
}

#[inline(always)]
fn comm() -> [u8; COMM_LEN] {
    let mut comm = [0; COMM_LEN];
    // No branch where it fails, see [`kernel`](crate::kernel): the helper leaves zeros then.
    // SAFETY: as long as said.
    unsafe { generated::bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_LEN as u32) };
    comm
}

/// Read in a way that the compiler does not fold into the initial value.
#[inline(always)]
fn own() -> &'static Own {
    // SAFETY: a static that nobody writes.
    unsafe { &*core::hint::black_box(&raw const OWN) }
}

/// Whether the current task is lightmon, which may run in a pid namespace: there it knows its own number only.
#[inline(always)]
pub fn is_own() -> bool {
    let own = own();
    let mut here = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: the helper fills `here`, or fails where the task is in another namespace.
    own.ino != 0
        && unsafe {
            generated::bpf_get_ns_current_pid_tgid(
                own.dev,
                own.ino,
                &raw mut here,
                size_of::<bpf_pidns_info>() as u32,
            )
        } == 0
        && here.tgid == own.tgid
}

/// 1 when the current task's connections are lightmon's own, which are neither reported nor excluded, else 0. A function of its
/// own for the verifier, which goes through it once, and on with a number that it knows nothing of.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn is_counted_apart() -> u32 {
    (own().is_like_others == 0 && is_own()).into()
}

/// See [`Task::image`].
#[inline(always)]
pub fn image(task: u64) -> u64 {
    let at = offsets();
    read(read(task, at.task_mm), at.mm_arg_start)
}

/// When a task's process started, 0 where that is not known.
#[inline(always)]
pub fn started(task: u64) -> u64 {
    let at = offsets();
    read(read(task, at.task_group_leader), at.task_start_boottime)
}

/// The current `struct task_struct *`.
#[inline(always)]
pub fn pointer_to_current() -> u64 {
    // SAFETY: takes no argument; the result is only ever read through the probe helpers.
    unsafe { generated::bpf_get_current_task() }
}

/// The `struct socket *` of a file descriptor of the current task; 0 without BTF. A descriptor of another kind of file, or of none,
/// gives something that is no socket: the system call says ENOTSOCK or EBADF then.
#[inline(always)]
pub fn socket_of(fd: u32) -> u64 {
    let at = offsets();
    let table = read(read(pointer_to_current(), at.task_files), at.files_fdt);
    let array: u64 = read(table, at.fdtable_fd);
    let file = read(array + u64::from(fd) * 8, 0);
    read(file, at.file_private_data)
}
