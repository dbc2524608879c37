//! Finds out what the loader must know about this kernel: the offsets from BTF, and the features that aya probes.
//!
//! Each is found out once. [`prefetch`] begins early, on threads of its own, so that loading the kernel program waits less.

use std::{sync::LazyLock, thread};

use lightmon_common::Offsets;

use super::vmlinux;

/// The offsets of this kernel, or why they are not known.
static OFFSETS: LazyLock<Result<Offsets, String>> =
    LazyLock::new(|| vmlinux::offsets(|_, _| ()).map_err(|error| error.to_string()));

/// Begins to find out what [`EbpfSource::open`](super::EbpfSource::open) needs, and returns at once.
pub fn prefetch() {
    for task in [probe_features, || _ = LazyLock::force(&OFFSETS)] {
        // If there is no thread, `offsets` below does the work.
        let _ = thread::Builder::new()
            .name("prefetch".to_owned())
            .spawn(task);
    }
}

/// Returns the offsets when both offsets and features are known.
///
/// # Errors
/// If BTF can't be read or parsed.
pub(super) fn offsets() -> Result<Offsets, &'static str> {
    thread::scope(|scope| {
        scope.spawn(probe_features);
        LazyLock::force(&OFFSETS)
    })
    .as_ref()
    .copied()
    .map_err(String::as_str)
}

/// aya probes the features of the kernel at the first call, and caches the results.
fn probe_features() {
    aya::features();
}
