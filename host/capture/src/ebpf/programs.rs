//! Has the kernel take the programs, in as little time and memory as can be: that is most of what a start takes.

use std::{
    cmp::Reverse,
    collections::HashMap,
    num::NonZero,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::chroot,
};

use super::requirements::BTF;

/// So many programs are checked at the same time, at most.
const MAX_THREADS: usize = 4;

/// What the kernel says of the programs that it refuses, by their names.
pub(super) type Refusals = HashMap<String, ProgramError>;

/// aya 0.14 parses all of the kernel's type information for each loader, which takes tens of megabytes and of milliseconds, for
/// relocations that our program has none of. It goes on without where it can't find the file: in a thread that looks for it in
/// another root. Who may not have one waits a little longer.
pub(super) fn loader() -> EbpfLoader<'static> {
    let elsewhere = || {
        let root = Path::new(BTF)
            .parent()
            .expect("invariant: a file in a folder");
        // Of this thread only, which ends here.
        let _ = unshare(CloneFlags::CLONE_FS).and_then(|()| chroot(root));
        EbpfLoader::new()
    };
    thread::scope(|scope| scope.spawn(elsewhere).join()).unwrap_or_else(|_| EbpfLoader::new())
}

/// Has these programs checked, several at once: the first ones first, so the longest should be among them.
pub(super) fn load(ebpf: &mut Ebpf, names: &[&str]) -> Refusals {
    let place = |name| names.iter().position(|wanted| *wanted == name);
    let mut programs: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((place(name)?, name, program)))
        .collect();
    // The last is taken first.
    programs.sort_unstable_by_key(|(place, ..)| Reverse(*place));
    let programs = Mutex::new(programs);
    let refusals = Mutex::new(Refusals::new());
    let check = || {
        while let Some((_, name, program)) = next(&programs) {
            let checked = match program {
                Program::TracePoint(program) => program.load(),
                Program::RawTracePoint(program) => program.load(),
                _ => Ok(()),
            };
            if let Err(error) = checked {
                lock(&refusals).insert(name.to_owned(), error);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads.min(MAX_THREADS) {
            scope.spawn(check);
        }
    });
    refusals
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A function, so that the lock is given back before the program is checked.
fn next<T>(programs: &Mutex<Vec<T>>) -> Option<T> {
    lock(programs).pop()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
