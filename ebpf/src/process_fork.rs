//! `sched_process_fork`: a child that has not called exec has its parent's path and arguments. The raw tracepoint, since the plain
//! one reports a new thread without its process.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use lightmon_common::{Fork, counter, kind};

use crate::{
    consumer, counters,
    kernel::{offsets, try_read},
    maps::RECORDS,
    task,
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
    let tid: u32 = try_read(child, at.task_pid)?;
    let tgid: u32 = try_read(child, at.task_tgid)?;
    if tid != tgid {
        return None; // a thread
    }
    let parent = task::current();
    if parent.exec_id == 0 {
        return None; // a kernel thread
    }
    let started_ns = try_read(child, at.task_start_boottime)?;
    let Some(mut entry) = RECORDS.reserve::<Fork>(0) else {
        counters::count(counter::LOST_PROCESSES);
        return None;
    };
    entry.write(Fork {
        kind: kind::FORK,
        tgid,
        started_ns,
        parent,
    });
    entry.submit(consumer::lazy_wakeup_flags());
    Some(())
}
