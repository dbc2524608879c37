//! `sched:sched_process_exec`: what a process runs, at the moment it starts to, so that one which connects and
//! exits within a millisecond still has its path and arguments.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{
        bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_ringbuf_output,
    },
    macros::tracepoint,
    programs::TracePointContext,
};
use lightmon_common::{Exec, MAX_ARGS, MAX_PATH, counter, kind};

use crate::{
    cgroup_attach_task, emit,
    kernel::{field, known, offsets, read},
    maps::{EXEC, ExecBuffer, NAME_MAX, RECORDS},
    task, wake,
};

/// `__data_loc char[] filename`: offset in the low half, length in the high half.
const FILENAME: usize = 8;

/// Names and mount points that are followed on the way up to the root.
const MAX_DEPTH: usize = 48;

/// match-proto:v5.8:fs/exec.c:static int exec_binprm(struct linux_binprm *bprm)
#[tracepoint]
pub fn sched_process_exec(ctx: TracePointContext) -> u32 {
    if try_exec(&ctx).is_none() {
        emit::count(counter::LOST_PROCESSES);
    }
    0
}

#[inline(always)]
fn try_exec(ctx: &TracePointContext) -> Option<()> {
    // SAFETY: the element of this CPU; a tracepoint program is not entered again on the same CPU.
    let buffer = unsafe { &mut *EXEC.get_ptr_mut(0)? };
    let args = copy_args();
    let (args_len, args_cut) = ((args & !CUT) as usize, (args & CUT != 0) as u8);
    if args_len > MAX_ARGS {
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
        moves: cgroup_attach_task::moves(),
    };
    let len = args_len + path_len;
    if len > MAX_ARGS + MAX_PATH {
        return None;
    }
    // SAFETY: `len` bytes of `data` exist behind the record.
    let result = unsafe {
        bpf_ringbuf_output(
            &raw const RECORDS as *mut _,
            &raw mut *buffer as *mut _,
            (size_of::<Exec>() + len) as u64,
            wake::up(),
        )
    };
    (result == 0).then_some(())
}

/// In the length of arguments: there are more.
const CUT: u64 = 1 << 32;

/// Copies the arguments to the start of `data`: their length, and whether they were cut. A function of its own for the verifier, as
/// [`is_counted_apart`](task::is_counted_apart).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_args() -> u64 {
    // SAFETY: as in `try_exec`, which waits for us.
    let Some(buffer) = EXEC.get_ptr_mut(0).map(|buffer| unsafe { &mut *buffer }) else {
        return 0;
    };
    let at = offsets();
    let mm = read(task::pointer_to_current(), at.task_mm);
    let (start, end): (u64, u64) = (read(mm, at.mm_arg_start), read(mm, at.mm_arg_end));
    let whole = end.saturating_sub(start);
    let len = if whole > MAX_ARGS as u64 {
        MAX_ARGS as u64
    } else {
        whole
    };
    // SAFETY: `len` is at most the length of `data`; the helper fails where user memory is not readable.
    let result = unsafe {
        bpf_probe_read_user(
            buffer.data.as_mut_ptr().cast(),
            len as u32,
            start as *const _,
        )
    };
    match result {
        0 if whole > len => len | CUT,
        0 => len,
        _ => 0,
    }
}

/// Copies the names from the program's file up to the root behind the arguments, as d_path() of fs/d_path.c
/// walks them: their length, or 0 without BTF. A function of its own for the verifier, as [`copy_args`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_path(start: u64) -> u64 {
    // SAFETY: as in `try_exec`, which waits for us.
    let Some(buffer) = EXEC.get_ptr_mut(0).map(|buffer| unsafe { &mut *buffer }) else {
        return 0;
    };
    let at = offsets();
    let file = read(read(task::pointer_to_current(), at.task_mm), at.mm_exe_file);
    buffer.dentry = read(file, at.file_dentry);
    buffer.mnt = read(file, at.file_mnt);
    set_path_len(buffer, 0);
    for _ in 0..MAX_DEPTH {
        match step(start) {
            GO_ON => {}
            END => break,
            _ => return 0,
        }
    }
    match path_len(buffer) {
        len if len <= MAX_PATH => len as u64,
        _ => 0,
    }
}

// What a step of the way says.
const GO_ON: u32 = 0;
const END: u32 = 1;
const FAILED: u32 = 2;

/// One step of the way up. A function of its own for the verifier, which goes through it once, and not once for each turn of the
/// loop: where it stands is kept in the buffer.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step(start: u64) -> u32 {
    // SAFETY: as in `try_exec`, which waits for us.
    let Some(buffer) = EXEC.get_ptr_mut(0).map(|buffer| unsafe { &mut *buffer }) else {
        return FAILED;
    };
    try_step(buffer, start as usize).unwrap_or(FAILED)
}

#[inline(always)]
fn try_step(buffer: &mut ExecBuffer, start: usize) -> Option<u32> {
    let at = offsets();
    let (dentry, mnt) = (buffer.dentry, buffer.mnt);
    let root: u64 = known(mnt, at.vfsmount_root)?;
    let parent: u64 = known(dentry, at.dentry_parent)?;
    if parent == 0 {
        return None;
    }
    if dentry == root {
        let mount = mnt - u64::from(at.mount_mnt);
        let above: u64 = known(mount, at.mount_parent)?;
        if above == mount {
            return Some(END);
        }
        buffer.mnt = above + u64::from(at.mount_mnt);
        buffer.dentry = known(mount, at.mount_mountpoint)?;
        return Some(GO_ON);
    }
    // A file without a folder, as a memfd, has nothing but its name.
    let is_alone = parent == dentry;
    let len = path_len(buffer);
    if is_alone && len > 0 {
        return Some(END);
    }
    if len > MAX_PATH {
        return None;
    }
    match copy_text(buffer, start + len, known(dentry, at.dentry_name)?) {
        0 => return None,
        n => set_path_len(buffer, len + n),
    }
    buffer.dentry = parent;
    Some(if is_alone { END } else { GO_ON })
}

/// Whether the program's file has no name in a folder any more, or never had one: d_unlinked() of
/// include/linux/dcache.h, and simple_dname() of fs/d_path.c.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn is_deleted() -> u8 {
    let at = offsets();
    let file = read(read(task::pointer_to_current(), at.task_mm), at.mm_exe_file);
    let dentry = read(file, at.file_dentry);
    (known(dentry, at.dentry_hashed) == Some(0_u64)).into()
}

#[inline(always)]
fn path_len(buffer: &ExecBuffer) -> usize {
    // SAFETY: a field of a valid reference; volatile, so that it is not kept in a register.
    unsafe { (&raw const buffer.path_len).read_volatile() as usize }
}

#[inline(always)]
fn set_path_len(buffer: &mut ExecBuffer, len: usize) {
    // SAFETY: as above.
    unsafe { (&raw mut buffer.path_len).write_volatile(len as u64) }
}

/// Copies the path that was given to execve(2) behind the arguments: its length.
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

/// Copies a NUL-ended text of at most [`NAME_MAX`] bytes to `data[start..]`: its length with the NUL, 0 on failure.
#[inline(always)]
fn copy_text(buffer: &mut ExecBuffer, start: usize, from: u64) -> usize {
    if start > MAX_ARGS + MAX_PATH {
        return 0;
    }
    // SAFETY: `data` has room for NAME_MAX bytes behind any such start.
    let len = unsafe {
        let to = buffer.data.as_mut_ptr().add(start);
        bpf_probe_read_kernel_str(to.cast(), NAME_MAX as u32, from as *const _)
    };
    if len <= 0 || len > NAME_MAX as i64 {
        0
    } else {
        len as usize
    }
}
