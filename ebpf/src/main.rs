//! lightmon's kernel program: passive hooks that turn each outgoing connection into one record.
//! Decides what a connection is, and evaluates the exclude rules whose fields the kernel knows. Names, all other filters and
//! formats are the host's part.
//!
//! One file a hook. Hooks do not import each other. Shared files import only files of the lines above their own:
//! - [`errno`]; [`kernel`]: reads kernel memory
//! - [`endpoints`]; [`task`]
//! - [`maps`]; [`socket`]
//! - [`counters`]; [`consumer`]: wakes the host
//! - [`emit`]: submits connections; [`exclude`]: evaluates the rules
//! - [`call`]: system calls that connect or send; [`pending`]: connections without an answer
//!
//! # Functions of their own for the verifier
//! A function with `#[unsafe(no_mangle)] #[inline(never)] extern "C"` becomes a BPF function. The verifier checks a BPF function
//! once, for unknown arguments. Inlined code is checked once for each path that leads to it: seconds on older kernels.
//!
//! # Minimum kernel version
//! 5.8: ring buffer, `bpf_ktime_get_boot_ns`. BTF (`/sys/kernel/btf/vmlinux`) for everything that `kernel` reads.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

// What the hooks share.
mod call;
mod consumer;
mod counters;
mod emit;
mod endpoints;
mod errno;
mod exclude;
mod kernel;
mod maps;
mod pending;
mod socket;
mod task;

// The hooks.
mod cgroup_attach_task;
mod cgroup_mkdir;
mod connect;
mod inet_sock_set_state;
mod process_exec;
mod process_fork;
mod send;

/// If a panic can be reached, the verifier refuses the program because of the infinite loop.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The verifier allows the tracing helpers only to programs with a GPL-compatible license.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
