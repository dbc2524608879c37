//! Decides which record wakes the host, the consumer of the ring buffer.
//!
//! A wake-up costs the connecting program more than everything else that is done here, so only the first record wakes the host.
//! The host then polls until no more records come, sets [`CONSUMER_POLLING`] back to 0, and sleeps.

use aya_ebpf::bindings::{
    BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
};

use crate::maps::{CONSUMER_POLLING, RECORDS};

/// The flags to submit a record with that the host should read soon: wakes the host unless it polls.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wakeup_flags() -> u64 {
    match CONSUMER_POLLING.get_ptr_mut(0) {
        // SAFETY: a word of a map. If two CPUs set it at once, the host gets one wake-up too many.
        Some(is_polling) if unsafe { is_polling.read_volatile() } == 0 => {
            // SAFETY: as above.
            unsafe { is_polling.write_volatile(1) };
            BPF_RB_FORCE_WAKEUP.into()
        }
        _ => lazy_wakeup_flags(),
    }
}

/// The flags to submit a record with that can wait: wakes the host only if the ring buffer is more than half full.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lazy_wakeup_flags() -> u64 {
    let is_half_full =
        RECORDS.query(BPF_RB_AVAIL_DATA.into()) > RECORDS.query(BPF_RB_RING_SIZE.into()) / 2;
    if is_half_full {
        BPF_RB_FORCE_WAKEUP.into()
    } else {
        BPF_RB_NO_WAKEUP.into()
    }
}
