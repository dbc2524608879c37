//! `sched_process_fork`: a process that starts no program of its own runs its maker's. The raw tracepoint, because the
//! other one tells a thread's number only, and that not with the process that it belongs to.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use lightmon_common::{Fork, counter, kind};

use crate::{
    emit,
    kernel::{known, offsets},
    maps::RECORDS,
    task, wake,
};

/// match-proto:v5.8:include/trace/events/sched.h:TP_PROTO(struct task_struct *parent, struct task_struct *child)
#[raw_tracepoint]
pub fn sched_process_fork(ctx: RawTracePointContext) -> u32 {
    let _ = try_fork(ctx.arg::<*const u8>(1) as u64);
    0
}

#[inline(always)]
fn try_fork(child: u64) -> Option<()> {
    let at = offsets();
    let (tid, tgid): (u32, u32) = (known(child, at.task_pid)?, known(child, at.task_tgid)?);
    if tid != tgid {
        return None; // a thread
    }
    let parent = task::current();
    if parent.image == 0 {
        return None; // a thread of the kernel
    }
    let started_ns = known(child, at.task_start_boottime)?;
    let Some(mut entry) = RECORDS.reserve::<Fork>(0) else {
        emit::count(counter::LOST_PROCESSES);
        return None;
    };
    entry.write(Fork {
        kind: kind::FORK,
        tgid,
        started_ns,
        parent,
    });
    entry.submit(wake::when_filling());
    Some(())
}
