//! `cgroup_attach_task`: counts how often a process or a thread was moved to another cgroup, of any hierarchy. As long as the count
//! stays the same, each process is where its maker was when it was made: the host needs not ask again for each program.
//!
//! Not counted is what makes no difference to the container: processes that leave a cpuset whose CPUs are gone
//! (`cgroup_transfer_tasks`). What clone3(2) puts elsewhere at once is of version 2, whose id each record has.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::{emit, maps::MOVES};

/// Raw, since the ordinary one may be skipped by the kernel: a move that is not counted would make wrong what the host knows. It is
/// called after the move, and before the write(2) returns that asked for it.
///
/// match-proto:v5.8:kernel/cgroup/cgroup.c:int cgroup_attach_task(struct cgroup *dst_cgrp, struct task_struct *leader, bool threadgroup)
#[raw_tracepoint]
pub fn cgroup_attach_task(_ctx: RawTracePointContext) -> u32 {
    emit::add_to(MOVES.get_ptr_mut(0), 1);
    0
}

/// The count so far; 0 when nobody counts.
#[inline(always)]
pub fn moves() -> u32 {
    // SAFETY: an aligned u64 of a map that outlives the program.
    MOVES
        .get_ptr(0)
        .map_or(0, |n| unsafe { n.read_volatile() } as u32)
}
