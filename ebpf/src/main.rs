//! lightmon's kernel program: passive tracepoints that turn each outgoing connection into one record.
//! Decides nothing but what a connection is, and which ones the user has excluded by what the kernel knows; names, all other
//! filters and formats are the host's.
//!
//! One file a hook; what they share is in [`maps`], [`emit`], [`ends`], [`errno`], [`exclude`], [`kernel`], [`task`], [`waiting`] and
//! [`wake`].
//!
//! # Minimum kernel version
//! 5.8: ring buffer, `bpf_ktime_get_boot_ns`. BTF (`/sys/kernel/btf/vmlinux`) for what `kernel` reads.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod cgroup_attach_task;
mod cgroup_mkdir;
mod connect;
mod inet_sock_set_state;
mod process_exec;
mod process_fork;
mod send;

mod emit;
mod ends;
mod errno;
mod exclude;
mod kernel;
mod maps;
mod task;
mod waiting;
mod wake;

/// The loop that never ends makes the verifier refuse a program from which a panic can be reached.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The verifier allows the tracing helpers to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
