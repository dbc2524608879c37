//! Where a process is that starts a program: in which container. A runtime moves it there just before; so it is asked, unless
//! nobody was moved since it was asked before, or its maker was.

use std::sync::Arc;

use super::{Processes, is_parent, same_process};
use crate::container::{Containers, cgroup::Found};
use lightmon_event::{CgroupMigrations, Exec};

/// Where a process was seen.
#[derive(Clone, Debug)]
pub(super) struct CgroupAttribution {
    pub(super) cgroup_id: u64,
    /// The id of the container that this means.
    pub(super) container: Option<Arc<str>>,
    /// It has not left since, and whom it has made is there too, as long as this is the count. None: that is not known.
    pub(super) moves: Option<CgroupMigrations>,
}

impl CgroupAttribution {
    /// Whether a process is there that was there, or its maker was, and that starts a program now.
    fn is_still(&self, exec: &Exec) -> bool {
        self.moves.is_some()
            && (self.cgroup_id, self.moves) == (exec.cgroup_id, exec.cgroup_migrations)
    }
}

impl Processes {
    /// See [`Identity::counting_migrations`](super::super::Identity::counting_migrations).
    pub(crate) fn count_moves(
        &mut self,
        now: impl Fn() -> Option<CgroupMigrations> + Send + 'static,
    ) {
        self.moves = Some(Box::new(now));
    }

    /// Where a process is that starts a program. It is asked now, while it surely is there: it may end before it is asked about
    /// again. Most need not be asked at all.
    pub(super) fn home(&mut self, exec: &Exec, containers: &Containers) -> CgroupAttribution {
        let process = &exec.process;
        let known = self.known.get_mut(&process.pid);
        if let Some(home) = known
            .filter(|entry| same_process(entry.latest(), process))
            .and_then(|entry| entry.home.as_ref())
            .filter(|home| home.is_still(exec))
        {
            return home.clone();
        }
        let look = |pid| {
            let Found { container, is_sure } = containers.find(exec.cgroup_id, pid);
            // Counted again after the look: a move in between may be in it, and not in what the process has made before.
            let now = || self.moves.as_ref().and_then(|now| now());
            CgroupAttribution {
                cgroup_id: exec.cgroup_id,
                container,
                moves: exec
                    .cgroup_migrations
                    .filter(|moves| is_sure && now() == Some(*moves)),
            }
        };
        let home = look(process.pid);
        // Who has made one will make more: those need not be asked then, and may have ended before they could be.
        if exec.cgroup_migrations.is_some()
            && let Some(parent) = process.parents.first()
            && let Some(entry) = self.known.get_mut(&parent.pid)
            && is_parent(entry.latest(), parent)
            && !entry.home.as_ref().is_some_and(|home| home.is_still(exec))
        {
            let home = look(parent.pid);
            if home.moves.is_some() {
                entry.home = Some(home);
            }
        }
        home
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use super::*;
    use lightmon_event::{Fork, Parent, Process};

    /// Above the kernel's largest pid.
    const PID: u32 = 0x4000_0001;

    fn process(started_ms: u64) -> Process {
        Process {
            pid: PID,
            started: Some(Duration::from_millis(started_ms)),
            ..Process::default()
        }
    }

    /// Processes in containers of version 1, and who counts their moves.
    struct Moved {
        proc: tempfile::TempDir,
        containers: Containers,
        processes: Processes,
        moves: Arc<AtomicU32>,
    }

    impl Moved {
        fn new() -> Self {
            let proc = tempfile::TempDir::new().unwrap();
            let (moves, mut processes) = (Arc::new(AtomicU32::new(1)), Processes::default());
            let now = moves.clone();
            processes.count_moves(move || CgroupMigrations::new(now.load(Relaxed)));
            Self {
                containers: Containers::of_folder(proc.path().to_owned()),
                proc,
                processes,
                moves,
            }
        }

        /// /proc says from now on that the process is in the container whose id is made of that digit.
        fn put(&self, pid: u32, container: &str) {
            let folder = self.proc.path().join(pid.to_string());
            fs::create_dir_all(&folder).unwrap();
            let text = format!("1:pids:/docker/{}\n", container.repeat(64));
            fs::write(folder.join("cgroup"), text).unwrap();
        }

        fn fork(&mut self, maker: u32, pid: u32) {
            self.processes.fork(Fork {
                time: Duration::from_millis(3000),
                process: child_of(maker, pid),
                exec_id: 0,
            });
        }

        /// The container of a process that starts a program when so many moves were counted; its digit.
        #[track_caller]
        fn check_exec(&mut self, process: Process, moves: u32, expect: Option<&str>) {
            let pid = process.pid;
            let exec = Exec {
                time: Duration::from_millis(3000),
                process,
                cgroup_id: 1,
                cgroup_migrations: CgroupMigrations::new(moves),
                exec_id: 0,
            };
            self.processes.exec(exec, &self.containers);
            let home = self.processes.known.get(&pid).unwrap().home.as_ref();
            let container = home.unwrap().container.as_deref();
            assert_eq!(container.map(|id| &id[..1]), expect);
        }
    }

    fn child_of(maker: u32, pid: u32) -> Process {
        let maker = Parent {
            pid: maker,
            started: Some(Duration::from_millis(990)),
            ..Parent::default()
        };
        Process {
            parents: Arc::new([maker]),
            pid,
            ..process(990)
        }
    }

    #[test]
    fn who_was_not_moved_is_where_it_was() {
        let mut system = Moved::new();
        system.put(PID, "a");
        system.check_exec(process(990), 1, Some("a"));
        // It is not asked, and neither is whom it has made: only a move that is counted would tell.
        system.put(PID, "b");
        system.check_exec(process(990), 1, Some("a"));
        system.fork(PID, PID + 1);
        system.check_exec(child_of(PID, PID + 1), 1, Some("a"));
        system.fork(PID, PID + 2);
        system.put(PID + 2, "c");
        system.moves.store(2, Relaxed);
        system.check_exec(process(990), 2, Some("b"));
        system.check_exec(child_of(PID, PID + 2), 2, Some("c"));
        // The kernel program does not count.
        system.put(PID, "d");
        system.check_exec(process(990), 0, Some("d"));
        system.put(PID, "e");
        system.check_exec(process(990), 0, Some("e"));
        // Another process of that pid.
        system.check_exec(process(990), 2, Some("e"));
        system.put(PID, "f");
        system.check_exec(process(5000), 2, Some("f"));
    }

    #[test]
    fn who_was_moved_before_the_look_is_asked_again() {
        let mut system = Moved::new();
        system.put(PID, "a");
        // Its program was started before the move, and it is asked after it: what it has made before is elsewhere.
        system.moves.store(2, Relaxed);
        system.check_exec(process(990), 1, Some("a"));
        system.fork(PID, PID + 1);
        system.put(PID + 1, "b");
        system.check_exec(child_of(PID, PID + 1), 1, Some("b"));
    }

    #[test]
    fn what_was_not_found_is_asked_for_again() {
        let mut system = Moved::new();
        system.check_exec(process(990), 1, None);
        system.put(PID, "a");
        system.check_exec(process(990), 1, Some("a"));
    }

    #[test]
    fn a_maker_is_asked_once_for_all_whom_it_makes() {
        let mut system = Moved::new();
        system.check_exec(process(990), 0, None);
        system.put(PID, "a");
        system.fork(PID, PID + 1);
        system.put(PID + 1, "a");
        system.check_exec(child_of(PID, PID + 1), 1, Some("a"));
        system.fork(PID, PID + 2);
        system.check_exec(child_of(PID, PID + 2), 1, Some("a"));
    }
}
