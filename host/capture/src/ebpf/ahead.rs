//! What is to be known of this kernel before a program is loaded: found out once, and while something else is done where it can be.

use std::{sync::LazyLock, thread};

use lightmon_common::Offsets;

use super::vmlinux;

/// Where this kernel keeps what, or why nobody knows.
static OFFSETS: LazyLock<Result<Offsets, String>> =
    LazyLock::new(|| vmlinux::offsets(|_, _| ()).map_err(|error| error.to_string()));

/// Begins to find out, and does not wait for it.
pub(super) fn look() {
    for look in [features, || _ = LazyLock::force(&OFFSETS)] {
        // Without a thread it is found out when it is needed.
        let _ = thread::Builder::new()
            .name("look-ahead".to_owned())
            .spawn(look);
    }
}

/// The offsets, when all is known.
pub(super) fn offsets() -> Result<Offsets, &'static str> {
    thread::scope(|scope| {
        scope.spawn(features);
        LazyLock::force(&OFFSETS)
    })
    .as_ref()
    .copied()
    .map_err(String::as_str)
}

/// aya asks the kernel what it can do, once, and keeps the answers.
fn features() {
    aya::features();
}
