//! Counters in maps.

use core::arch::asm;

use crate::maps::{CGROUP_MIGRATIONS, COUNTERS};

/// Adds one to a [`counter`](lightmon_common::counter) of this CPU.
#[inline(always)]
pub fn count(counter: u32) {
    add(counter, 1);
}

/// Adds `n` to a [`counter`](lightmon_common::counter) of this CPU.
#[inline(always)]
pub fn add(counter: u32, n: u64) {
    add_atomic(COUNTERS.get_ptr_mut(counter), n);
}

/// Counts a cgroup migration.
#[inline(always)]
pub fn count_cgroup_migration() {
    add_atomic(CGROUP_MIGRATIONS.get_ptr_mut(0), 1);
}

/// Number of cgroup migrations so far; 0 if they are not counted.
#[inline(always)]
pub fn cgroup_migrations() -> u32 {
    // SAFETY: an aligned u64 of a map that outlives the program.
    CGROUP_MIGRATIONS
        .get_ptr(0)
        .map_or(0, |count| unsafe { count.read_volatile() } as u32)
}

/// Atomic, since a softirq may interrupt this program and count as well, or another CPU may. `core` has no atomics for this target.
#[inline(always)]
fn add_atomic(number: Option<*mut u64>, n: u64) {
    if let Some(number) = number {
        // SAFETY: an aligned u64 of a map that outlives the program.
        unsafe {
            asm!("lock *(u64 *)({number} + 0) += {n}", number = in(reg) number, n = in(reg) n)
        };
    }
}
