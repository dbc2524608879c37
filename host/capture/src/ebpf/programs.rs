//! Has the kernel verify the programs, in little time and memory: most of lightmon's start is spent here.

use std::{
    cmp::Reverse,
    collections::HashMap,
    num::NonZero,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError},
};
use lightmon_thread::lock;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::chroot,
};

use super::vmlinux::BTF_PATH;

/// Maximum number of programs that are verified at the same time.
const MAX_THREADS: usize = 4;

/// The programs that the kernel refuses, by name, and why.
pub(super) type Refusals = HashMap<String, ProgramError>;

/// A loader that has not read the kernel's BTF.
///
/// aya before 0.15 parses all of the kernel's BTF in [`EbpfLoader::new`], which takes tens of megabytes and of milliseconds. It needs
/// BTF for relocations only, and the kernel program has none. If aya does not find the file, it goes on without. So a thread hides the
/// file by changing its root directory. If chroot(2) is not allowed, the start takes a little longer.
///
/// To be removed when the MSRV reaches 1.98, and aya 0.16 can be used.
pub(super) fn loader() -> EbpfLoader<'static> {
    let without_btf = || {
        let root = Path::new(BTF_PATH)
            .parent()
            .expect("invariant: a file in a folder");
        // The new root is that of this thread only, which ends here.
        let _ = unshare(CloneFlags::CLONE_FS).and_then(|()| chroot(root));
        EbpfLoader::new()
    };
    thread::scope(|scope| scope.spawn(without_btf).join()).unwrap_or_else(|_| EbpfLoader::new())
}

/// Loads the programs of these names, several at once. Begins with the first names, so the largest programs should be first.
pub(super) fn load(ebpf: &mut Ebpf, names: &[&str]) -> Refusals {
    let position = |name| names.iter().position(|wanted| *wanted == name);
    let mut programs: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((position(name)?, name, program)))
        .collect();
    // `pop` takes the last.
    programs.sort_unstable_by_key(|(position, ..)| Reverse(*position));
    let programs = Mutex::new(programs);
    let refusals = Mutex::new(Refusals::new());
    let load_all = || {
        while let Some((_, name, program)) = pop(&programs) {
            let result = match program {
                Program::TracePoint(program) => program.load(),
                Program::RawTracePoint(program) => program.load(),
                _ => Ok(()),
            };
            if let Err(error) = result {
                lock(&refusals).insert(name.to_owned(), error);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads.min(MAX_THREADS) {
            scope.spawn(load_all);
        }
    });
    refusals
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A function of its own, so that the lock is released before the program is loaded.
fn pop<T>(programs: &Mutex<Vec<T>>) -> Option<T> {
    lock(programs).pop()
}
