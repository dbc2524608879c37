//! What a thread may do beyond what its user may: each gives away what it has no need for, before it meets what comes from
//! outside. Capabilities are a thread's own; those that it starts inherit what it has left.

use std::{io, thread::Builder};

use caps::{CapSet, Capability};
use nix::sys::prctl;

/// wasm's own stack of 512 KiB and the host below it; the compiler recurses too.
pub const STACK_SIZE: usize = 8 << 20;

/// What it takes to connect to another user's Docker daemon, or to write to another user's folder.
pub const FOR_THINGS_OF_OTHERS: &[Capability] = &[
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Leaves this thread at most these capabilities, or else says that it has more than it needs.
pub fn give_up_all_but(needed: &[Capability]) {
    if let Err(error) = keep(needed) {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or_default();
        tracing::warn!(thread, %error, "capabilities that have no use any more can't be given up");
    }
}

/// Leaves this thread at most these capabilities, for good: no program that it would execute could have more.
///
/// # Errors
/// When the kernel doesn't allow it; some may be gone then.
pub fn keep(needed: &[Capability]) -> io::Result<()> {
    prctl::set_no_new_privs()?;
    let mut kept = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    kept.retain(|capability| needed.contains(capability));
    // Ambient ones go with those that are inheritable.
    for (set, left) in [
        (CapSet::Inheritable, &Default::default()),
        (CapSet::Effective, &kept),
        (CapSet::Permitted, &kept),
    ] {
        caps::set(None, set, left).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Runs `work` on a thread that has no capabilities, with room for plugins on its stack, and waits for it.
///
/// # Errors
/// When there can be no such thread, or it has panicked.
pub fn without<R: Send>(name: &str, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = Builder::new()
            .name(name.to_owned())
            .stack_size(STACK_SIZE)
            .spawn_scoped(scope, || keep(&[]).map(|()| work()))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("it has panicked; this is a bug")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of /proc/thread-self/status that say what a thread may do.
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
    fn a_thread_without_has_none_and_its_threads_too() {
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
        assert_eq!(status(), before, "other threads keep theirs");
    }

    #[test]
    fn only_what_is_needed_and_was_there_is_kept() {
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
