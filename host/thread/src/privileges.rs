//! Capabilities: each thread gives up those that it does not need, before it reads input from outside.
//! Gives none back. Capabilities belong to a thread; threads that it starts inherit what it has left.

use std::{io, thread::Builder};

use caps::{CapSet, Capability};
use nix::sys::prctl;

/// The stack of a thread that runs plugins, in bytes: 512 KiB for WebAssembly, and the rest for the host and the compiler,
/// which recurses.
pub const STACK_SIZE: usize = 8 << 20;

/// The capabilities to connect to another user's Docker daemon, and to write to another user's directory.
pub const FOR_THINGS_OF_OTHERS: &[Capability] = &[
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Leaves this thread at most the capabilities in `needed`. If the kernel refuses that, logs a warning.
pub fn give_up_all_but(needed: &[Capability]) {
    if let Err(error) = keep(needed) {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::warn!(thread, %error, "can't give up the capabilities that this thread does not need");
    }
}

/// Leaves this thread at most the capabilities in `needed`, for good: a program that it executes has no more either.
///
/// # Errors
/// If the kernel refuses it. Some of the capabilities may be gone then.
pub fn keep(needed: &[Capability]) -> io::Result<()> {
    prctl::set_no_new_privs()?;
    let mut kept = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    kept.retain(|capability| needed.contains(capability));
    // The kernel removes a capability from the ambient set when the inheritable set loses it.
    for (set, left) in [
        (CapSet::Inheritable, &Default::default()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, left).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Runs `work` on a thread without capabilities and with a stack of [`STACK_SIZE`], and waits for the result.
///
/// # Errors
/// If the thread can't be started or can't give up its capabilities, or if `work` panics.
pub fn without<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, || keep(&[]).map(|()| work()))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread has panicked; this is a bug")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of /proc/thread-self/status about capabilities and no_new_privs.
    fn status() -> Vec<String> {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a thread");
        let is_right = |line: &&str| line.starts_with("Cap") || line.starts_with("NoNewPrivs");
        status
            .lines()
            .filter(is_right)
            .map(|line| line.replace('\t', " "))
            .collect()
    }

    #[test]
    fn a_thread_without_capabilities_starts_threads_without_capabilities() {
        let before = status();
        let (own, child) = without("test", || {
            let child = std::thread::spawn(status).join().expect("no panic");
            (status(), child)
        })
        .expect("a thread");
        for status in [own, child] {
            for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                let none = format!("{name}: 0000000000000000");
                assert!(status.contains(&none), "{status:?}");
            }
            assert!(status.contains(&"NoNewPrivs: 1".to_owned()), "{status:?}");
        }
        assert_eq!(status(), before, "other threads keep their capabilities");
    }

    #[test]
    fn a_thread_keeps_only_the_needed_capabilities_that_it_had() {
        let needed = Capability::CAP_SYS_PTRACE;
        let had = caps::has_cap(None, CapSet::Permitted, needed).expect("readable");
        let left = std::thread::spawn(move || {
            keep(&[needed]).expect("allowed");
            [CapSet::Permitted, CapSet::Effective]
                .map(|set| caps::read(None, set).expect("readable"))
        });
        for set in left.join().expect("no panic") {
            assert_eq!(set.contains(&needed), had);
            assert!(set.len() <= 1, "{set:?}");
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        let result = without("test", || panic!("on purpose"));
        assert!(result.is_err());
    }
}
