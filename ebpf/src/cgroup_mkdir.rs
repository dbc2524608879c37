//! `cgroup:cgroup_mkdir`: reports the path of each new cgroup, so that the host knows the container of a cgroup id from the start.
//! The cgroup may be gone before the host could look for it.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_probe_read_kernel_str, bpf_ringbuf_output},
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{Cgroup, MAX_PATH_BYTES, kind};

use crate::{
    consumer,
    kernel::field,
    maps::{CGROUP_BUFFER, RECORDS},
};

// The fields of the tracepoint, include/trace/events/cgroup.h; `id` is a u64 since Linux 5.5.
const ROOT: usize = 8;
const ID: usize = 16;
/// `__data_loc char[] path`: offset in the low half, length in the high half.
const PATH: usize = 24;

/// The hierarchy of version 2: `cgrp_dfl_root` of kernel/cgroup/cgroup.c. The tracepoint fires for each hierarchy.
const UNIFIED: i32 = 0;

/// match-proto:v5.8:kernel/cgroup/cgroup.c:int cgroup_mkdir(struct kernfs_node *parent_kn, const char *name, umode_t mode)
#[tracepoint]
pub fn cgroup_mkdir(ctx: TracePointContext) -> u32 {
    // If the record is lost, the host looks for the cgroup itself, as for cgroups that are older than the hook.
    let _ = try_mkdir(&ctx);
    0
}

#[inline(always)]
fn try_mkdir(ctx: &TracePointContext) -> Result<(), i32> {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (root, id, path) = unsafe {
        (
            field::<i32>(ctx, ROOT),
            field::<u64>(ctx, ID),
            field::<u32>(ctx, PATH),
        )
    };
    if root != UNIFIED {
        return Ok(());
    }
    let buffer = CGROUP_BUFFER.get_ptr_mut(0).ok_or(0)?;
    // SAFETY: the element of this CPU. A tracepoint program is not entered again on the same CPU. The helper writes at most the
    // length of `path`.
    unsafe {
        let from = ctx.as_ptr() as u64 + u64::from(path & 0xffff);
        let to = (&raw mut (*buffer).path).cast();
        let len = bpf_probe_read_kernel_str(to, MAX_PATH_BYTES as u32, from as *const _);
        if len <= 0 || len > MAX_PATH_BYTES as i64 {
            return Ok(());
        }
        (*buffer).cgroup = Cgroup {
            kind: kind::CGROUP,
            path_len: len as u32,
            id,
        };
        let size = size_of::<Cgroup>() as u64 + len as u64;
        bpf_ringbuf_output(
            &raw const RECORDS as *mut _,
            buffer.cast(),
            size,
            consumer::wakeup_flags(),
        );
    }
    Ok(())
}
