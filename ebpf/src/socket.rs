//! Reads sockets: the socket behind a file descriptor, and its protocol.

use crate::{
    endpoints::{IPPROTO_MPTCP, IPPROTO_TCP},
    kernel::{offsets, read_or_zero},
    task,
};

/// States of a `struct sock`: include/net/tcp_states.h. A connected datagram socket is in `TCP_ESTABLISHED`.
pub const TCP_ESTABLISHED: i32 = 1;
pub const TCP_SYN_SENT: i32 = 2;
pub const TCP_SYN_RECV: i32 = 3;
pub const TCP_CLOSE: i32 = 7;

/// The `struct socket *` of a file descriptor of the current task; 0 without BTF. If the descriptor is not a socket, the result
/// points to something else; the system call then fails with ENOTSOCK or EBADF.
#[inline(always)]
pub fn of_fd(fd: u32) -> u64 {
    let at = offsets();
    let files = read_or_zero(task::current_pointer(), at.task_files);
    let table = read_or_zero(files, at.files_fdt);
    let array: u64 = read_or_zero(table, at.fdtable_fd);
    let file = read_or_zero(array + u64::from(fd) * 8, 0);
    read_or_zero(file, at.file_private_data)
}

/// The protocol of a `struct sock`, with TCP for MPTCP; 0 if it is not known.
#[inline(always)]
pub fn protocol(sk: u64) -> u16 {
    match read_or_zero(sk, offsets().sock_protocol) {
        IPPROTO_MPTCP => IPPROTO_TCP,
        protocol => protocol,
    }
}
