//! Reads kernel memory at the offsets that the host has resolved. An unknown offset, a null pointer or an
//! unreadable address is `None`, never a wrong value.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use lightmon_common::Offsets;

/// Set by the host before it loads the program.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// The offsets, read in a way that the compiler does not fold into the initial value.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    // The verifier sees a read-only map: unknown offsets cost nothing.
    unsafe { &*core::hint::black_box(&raw const OFFSETS) }
}

/// Reads a `T` at `base + offset`.
#[inline(always)]
pub fn read<T>(base: u64, offset: u32) -> Option<T> {
    if base == 0 || offset == Offsets::UNKNOWN {
        return None;
    }
    // SAFETY: the helper checks the address and fails where it is not readable.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

/// Reads a pointer at `base + offset`; null is `None`.
#[inline(always)]
pub fn pointer(base: u64, offset: u32) -> Option<u64> {
    read(base, offset).filter(|pointer| *pointer != 0)
}
