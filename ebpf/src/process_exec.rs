//! `sched:sched_process_exec`: reports path and arguments of a process at exec. So a process that connects and exits within a
//! millisecond still has them.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{
        bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_ringbuf_output,
    },
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{Exec, MAX_ARGS_BYTES, MAX_PATH_BYTES, counter, kind};

use crate::{
    consumer, counters,
    kernel::{field, offsets, read_or_zero, try_read},
    maps::{EXEC_BUFFER, ExecBuffer, MAX_NAME_BYTES, RECORDS},
    task,
};

/// `__data_loc char[] filename`: offset in the low half, length in the high half.
const FILENAME: usize = 8;

/// Maximum number of names and mount points on the walk up to the root.
const MAX_DEPTH: usize = 48;

/// match-proto:v5.8:fs/exec.c:static int exec_binprm(struct linux_binprm *bprm)
#[tracepoint]
pub fn sched_process_exec(ctx: TracePointContext) -> u32 {
    if try_exec(&ctx).is_none() {
        counters::count(counter::LOST_PROCESSES);
    }
    0
}

#[inline(always)]
fn try_exec(ctx: &TracePointContext) -> Option<()> {
    // SAFETY: the element of this CPU. A tracepoint program is not entered again on the same CPU.
    let buffer = unsafe { &mut *EXEC_BUFFER.get_ptr_mut(0)? };
    let args = copy_args();
    let (args_len, args_cut) = ((args & !ARGS_CUT) as usize, (args & ARGS_CUT != 0) as u8);
    if args_len > MAX_ARGS_BYTES {
        return None;
    }
    let (path_len, path_is_text) = match copy_path(args_len as u64) as usize {
        0 => (copy_filename(ctx, buffer, args_len), 1),
        len => (len, 0),
    };
    buffer.exec = Exec {
        kind: kind::EXEC,
        args_len: args_len as u16,
        path_len: path_len as u16,
        // SAFETY: takes no argument.
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        task: task::current(),
        args_cut,
        path_is_text,
        is_deleted: is_deleted(),
        reserved: 0,
        cgroup_migrations: counters::cgroup_migrations(),
    };
    let len = args_len + path_len;
    if len > MAX_ARGS_BYTES + MAX_PATH_BYTES {
        return None;
    }
    // SAFETY: `data` follows the record, and has at least `len` bytes.
    let result = unsafe {
        bpf_ringbuf_output(
            &raw const RECORDS as *mut _,
            &raw mut *buffer as *mut _,
            (size_of::<Exec>() + len) as u64,
            consumer::wakeup_flags(),
        )
    };
    (result == 0).then_some(())
}

/// Flag in the result of [`copy_args`]: the arguments were cut.
const ARGS_CUT: u64 = 1 << 32;

/// Copies the arguments to the start of `data`. Returns their length, with [`ARGS_CUT`] if they were cut. A function of its own
/// for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_args() -> u64 {
    // SAFETY: as in `try_exec`, which does not use the buffer meanwhile.
    let Some(buffer) = EXEC_BUFFER
        .get_ptr_mut(0)
        .map(|buffer| unsafe { &mut *buffer })
    else {
        return 0;
    };
    let at = offsets();
    let mm = read_or_zero(task::current_pointer(), at.task_mm);
    let (start, end): (u64, u64) = (
        read_or_zero(mm, at.mm_arg_start),
        read_or_zero(mm, at.mm_arg_end),
    );
    let full_len = end.saturating_sub(start);
    let len = if full_len > MAX_ARGS_BYTES as u64 {
        MAX_ARGS_BYTES as u64
    } else {
        full_len
    };
    // SAFETY: `len` is at most the length of `data`. The helper fails if user memory is not readable.
    let result = unsafe {
        bpf_probe_read_user(
            buffer.data.as_mut_ptr().cast(),
            len as u32,
            start as *const _,
        )
    };
    match result {
        0 if full_len > len => len | ARGS_CUT,
        0 => len,
        _ => 0,
    }
}

/// Appends the names from the executable up to the root to the arguments. Walks them like d_path() of fs/d_path.c. Returns their
/// length, or 0 without BTF. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_path(start: u64) -> u64 {
    // SAFETY: as in `try_exec`, which does not use the buffer meanwhile.
    let Some(buffer) = EXEC_BUFFER
        .get_ptr_mut(0)
        .map(|buffer| unsafe { &mut *buffer })
    else {
        return 0;
    };
    let at = offsets();
    let file = read_or_zero(
        read_or_zero(task::current_pointer(), at.task_mm),
        at.mm_exe_file,
    );
    buffer.dentry = read_or_zero(file, at.file_dentry);
    buffer.mnt = read_or_zero(file, at.file_mnt);
    set_path_len(buffer, 0);
    for _ in 0..MAX_DEPTH {
        match step(start) {
            STEP_CONTINUE => {}
            STEP_DONE => break,
            _ => return 0,
        }
    }
    match path_len(buffer) {
        len if len <= MAX_PATH_BYTES => len as u64,
        _ => 0,
    }
}

// Results of a step.
const STEP_CONTINUE: u32 = 0;
const STEP_DONE: u32 = 1;
const STEP_FAILED: u32 = 2;

/// One step of the walk up to the root. The position is in the buffer, so that the verifier checks this function once, and not once
/// for each iteration.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step(start: u64) -> u32 {
    // SAFETY: as in `try_exec`, which does not use the buffer meanwhile.
    let Some(buffer) = EXEC_BUFFER
        .get_ptr_mut(0)
        .map(|buffer| unsafe { &mut *buffer })
    else {
        return STEP_FAILED;
    };
    try_step(buffer, start as usize).unwrap_or(STEP_FAILED)
}

#[inline(always)]
fn try_step(buffer: &mut ExecBuffer, start: usize) -> Option<u32> {
    let at = offsets();
    let (dentry, mnt) = (buffer.dentry, buffer.mnt);
    let root: u64 = try_read(mnt, at.vfsmount_root)?;
    let parent: u64 = try_read(dentry, at.dentry_parent)?;
    if parent == 0 {
        return None;
    }
    if dentry == root {
        let mount = mnt - u64::from(at.mount_mnt);
        let above: u64 = try_read(mount, at.mount_parent)?;
        if above == mount {
            return Some(STEP_DONE);
        }
        buffer.mnt = above + u64::from(at.mount_mnt);
        buffer.dentry = try_read(mount, at.mount_mountpoint)?;
        return Some(STEP_CONTINUE);
    }
    // A file without a directory, such as a memfd, has only its name.
    let is_alone = parent == dentry;
    let len = path_len(buffer);
    if is_alone && len > 0 {
        return Some(STEP_DONE);
    }
    if len > MAX_PATH_BYTES {
        return None;
    }
    match copy_text(buffer, start + len, try_read(dentry, at.dentry_name)?) {
        0 => return None,
        n => set_path_len(buffer, len + n),
    }
    buffer.dentry = parent;
    Some(if is_alone { STEP_DONE } else { STEP_CONTINUE })
}

/// 1 if the executable has no name in a directory any more, or never had one: d_unlinked() of include/linux/dcache.h, and
/// simple_dname() of fs/d_path.c. A function of its own for the verifier.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_deleted() -> u8 {
    let at = offsets();
    let file = read_or_zero(
        read_or_zero(task::current_pointer(), at.task_mm),
        at.mm_exe_file,
    );
    let dentry = read_or_zero(file, at.file_dentry);
    (try_read(dentry, at.dentry_hashed) == Some(0_u64)).into()
}

#[inline(always)]
fn path_len(buffer: &ExecBuffer) -> usize {
    // SAFETY: a field of a valid reference. Volatile, so that it is not kept in a register.
    unsafe { (&raw const buffer.path_len).read_volatile() as usize }
}

#[inline(always)]
fn set_path_len(buffer: &mut ExecBuffer, len: usize) {
    // SAFETY: as above.
    unsafe { (&raw mut buffer.path_len).write_volatile(len as u64) }
}

/// Appends the path that execve(2) was called with to the arguments. Returns its length.
#[inline(always)]
fn copy_filename(ctx: &TracePointContext, buffer: &mut ExecBuffer, start: usize) -> usize {
    // SAFETY: the offset and type are those of the tracepoint's format.
    let location = unsafe { field::<u32>(ctx, FILENAME) };
    copy_text(
        buffer,
        start,
        ctx.as_ptr() as u64 + u64::from(location & 0xffff),
    )
}

/// Copies a NUL-terminated text of at most [`MAX_NAME_BYTES`] to `data[start..]`. Returns its length with the NUL, or 0 on failure.
#[inline(always)]
fn copy_text(buffer: &mut ExecBuffer, start: usize, from: u64) -> usize {
    if start > MAX_ARGS_BYTES + MAX_PATH_BYTES {
        return 0;
    }
    // SAFETY: from any such start, `data` has room for MAX_NAME_BYTES.
    let len = unsafe {
        let to = buffer.data.as_mut_ptr().add(start);
        bpf_probe_read_kernel_str(to.cast(), MAX_NAME_BYTES as u32, from as *const _)
    };
    if len <= 0 || len > MAX_NAME_BYTES as i64 {
        0
    } else {
        len as usize
    }
}
