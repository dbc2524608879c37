//! When the host is woken for a record. Waking it costs the program that connects more than all else that is done here, so it is
//! done for the first record only: the host then looks by itself until nothing comes any more, and says so in [`AWAKE`].

use aya_ebpf::bindings::{
    BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE,
};

use crate::maps::{AWAKE, RECORDS};

/// For a record that is to be read soon: how to submit it. A function of its own for the verifier, as
/// [`is_counted_apart`](crate::task::is_counted_apart).
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn up() -> u64 {
    match AWAKE.get_ptr_mut(0) {
        // SAFETY: a word of a map; two who set it at once wake the host once too often.
        Some(awake) if unsafe { awake.read_volatile() } == 0 => {
            // SAFETY: as above.
            unsafe { awake.write_volatile(1) };
            BPF_RB_FORCE_WAKEUP.into()
        }
        _ => when_filling(),
    }
}

/// For a record that can wait until there is one that can't.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn when_filling() -> u64 {
    let is_filling =
        RECORDS.query(BPF_RB_AVAIL_DATA.into()) > RECORDS.query(BPF_RB_RING_SIZE.into()) / 2;
    if is_filling {
        BPF_RB_FORCE_WAKEUP.into()
    } else {
        BPF_RB_NO_WAKEUP.into()
    }
}
