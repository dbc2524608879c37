//! Reads kernel memory at the offsets that the host has resolved. What is not known, or can't be read, is 0, as a null pointer is:
//! a branch for it would double what the verifier has to follow, with each of the dozen reads of a record.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_probe_read_kernel, programs::TracePointContext,
};
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

/// What has no padding, and may hold any bits.
///
/// # Safety
/// Just that.
pub unsafe trait Plain {}

// SAFETY: numbers, and arrays of them.
unsafe impl Plain for u8 {}
unsafe impl Plain for u16 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for i32 {}
unsafe impl Plain for i64 {}
unsafe impl Plain for [u8; 16] {}
unsafe impl Plain for [u16; 2] {}
unsafe impl Plain for [[u8; 4]; 2] {}

/// Reads a field of a tracepoint's record, at this place in its `format`.
///
/// # Safety
/// There must be a `T` in the record, at a multiple of its size.
#[inline(always)]
pub unsafe fn field<T: Plain>(ctx: &TracePointContext, offset: usize) -> T {
    // Not by a helper that reads kernel memory, and not merged with its neighbours: the verifier lets a program read this as it is.
    // SAFETY: the caller's.
    unsafe { ctx.as_ptr().byte_add(offset).cast::<T>().read_volatile() }
}

/// Reads a `T` at `base + offset`; 0 of a null pointer, at an unknown offset, or where nothing can be read.
#[inline(always)]
pub fn read<T: Plain>(base: u64, offset: u32) -> T {
    known(base, offset).unwrap_or_else(|| {
        // SAFETY: all bits 0 are a valid `T`.
        unsafe { MaybeUninit::zeroed().assume_init() }
    })
}

/// The same, but an unknown offset is `None`. The verifier knows which ones are.
#[inline(always)]
pub fn known<T: Plain>(base: u64, offset: u32) -> Option<T> {
    if offset == Offsets::UNKNOWN {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    let from = (base + u64::from(offset)) as *const _;
    // SAFETY: the helper checks the address. It fills all of `value`, with zeros where it fails
    // (bpf_probe_read_kernel_common() of kernel/trace/bpf_trace.c).
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
        Some(value.assume_init())
    }
}
