//! `cgroup_attach_task`: counts the migrations of processes and threads to another cgroup, in any hierarchy. While the count stays
//! the same, each process is in the cgroup in which its parent forked. Then the host need not look again at each exec.
//!
//! Two kinds of migration are not counted:
//! - Processes that leave a cpuset without CPUs (`cgroup_transfer_tasks`). Their container stays the same.
//! - clone3(2) into another cgroup. That cgroup is of version 2, and each record has the id of the task's cgroup of version 2.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::counters;

/// The raw tracepoint, since the kernel may skip the plain one, and a migration that is not counted would leave the host with a
/// wrong container. The hook runs after the migration, and before the write(2) that asked for it returns.
///
/// match-proto:v5.8:kernel/cgroup/cgroup.c:int cgroup_attach_task(struct cgroup *dst_cgrp, struct task_struct *leader, bool threadgroup)
#[raw_tracepoint]
pub fn cgroup_attach_task(_ctx: RawTracePointContext) -> u32 {
    counters::count_cgroup_migration();
    0
}
