//! Reads kernel memory at the offsets that the host has resolved.
//!
//! [`read_or_zero`] returns 0 for what is not known or can't be read, so that a chain of pointers ends like a null pointer.
//! A branch for each read would double what the verifier has to follow, and a record needs a dozen reads.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_probe_read_kernel, programs::TracePointContext,
};
use lightmon_common::Offsets;

/// The host sets it before it loads the program.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::NONE;

/// The offsets of this kernel.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    // `black_box`: the compiler must not fold the initial value in. The verifier sees constants, since the map is read-only, so
    // unknown offsets cost nothing.
    // SAFETY: a static that nobody writes.
    unsafe { &*core::hint::black_box(&raw const OFFSETS) }
}

/// A type without padding, for which all bit patterns are valid.
///
/// # Safety
/// The type must be like that.
pub unsafe trait Plain {}

// SAFETY: numbers, and arrays of numbers.
unsafe impl Plain for u8 {}
unsafe impl Plain for u16 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for i32 {}
unsafe impl Plain for i64 {}
unsafe impl Plain for [u8; 16] {}
unsafe impl Plain for [u16; 2] {}
unsafe impl Plain for [[u8; 4]; 2] {}

/// Reads a field of a tracepoint's record. `offset` is the one in the tracepoint's `format` file.
///
/// # Safety
/// There must be a `T` in the record, at a multiple of its size.
#[inline(always)]
pub unsafe fn field<T: Plain>(ctx: &TracePointContext, offset: usize) -> T {
    // The verifier allows direct access to the record, so no helper is needed. Volatile, so that the compiler does not merge
    // neighbouring fields into one access that the verifier refuses.
    // SAFETY: the caller's.
    unsafe { ctx.as_ptr().byte_add(offset).cast::<T>().read_volatile() }
}

/// Reads a `T` at `base + offset`. Returns 0 for a null pointer, an unknown offset, and memory that can't be read.
#[inline(always)]
pub fn read_or_zero<T: Plain>(base: u64, offset: u32) -> T {
    try_read(base, offset).unwrap_or_else(|| {
        // SAFETY: all bits 0 are a valid `T`.
        unsafe { MaybeUninit::zeroed().assume_init() }
    })
}

/// Like [`read_or_zero`], but returns `None` for an unknown offset. The verifier knows which offsets are unknown.
#[inline(always)]
pub fn try_read<T: Plain>(base: u64, offset: u32) -> Option<T> {
    if offset == Offsets::UNKNOWN {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    let from = (base + u64::from(offset)) as *const _;
    // SAFETY: the helper checks the address. It fills all of `value`, with zeros if it fails
    // (bpf_probe_read_kernel_common() of kernel/trace/bpf_trace.c).
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
        Some(value.assume_init())
    }
}
