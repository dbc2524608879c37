//! `syscalls:sys_enter_connect` and `sys_exit_connect`: UDP sockets that get connected, and calls that fail before a SYN.

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{call, kernel::field, pending};

// Fields of the tracepoints: `syscalls/sys_enter_connect/format`.
const FD: usize = 16;
const ADDRESS: usize = 24;
const ADDRESS_LEN: usize = 32;
const RETURN: usize = 16;

/// match-proto:v5.8:net/socket.c:int __sys_connect(int fd, struct sockaddr __user *uservaddr, int addrlen)
#[tracepoint]
pub fn sys_enter_connect(ctx: TracePointContext) -> u32 {
    // SAFETY: the offsets and types are those of the tracepoint's format.
    let (fd, address, address_len) = unsafe {
        (
            field::<u64>(&ctx, FD) as u32,
            field(&ctx, ADDRESS),
            field::<u64>(&ctx, ADDRESS_LEN) as u32,
        )
    };
    if !pending::answer_probe(fd) {
        call::begin_connect(fd, address, address_len);
    }
    0
}

/// Ends what [`sys_enter_connect`] has begun.
#[tracepoint]
pub fn sys_exit_connect(ctx: TracePointContext) -> u32 {
    // SAFETY: the offset and type are those of the tracepoint's format.
    call::end_connect(unsafe { field(&ctx, RETURN) })
}
