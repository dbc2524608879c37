//! Resolves the container of a process at exec.
//!
//! A container runtime moves a process into the container's cgroup just before the process calls exec. So the container is
//! looked up at exec, unless no process has changed its cgroup since the last look-up for this process or for its parent.

use std::sync::Arc;

use lightmon_event::{CgroupMigrations, Exec};

use super::{Processes, is_parent, is_same};
use crate::container::{Containers, cgroup::Found};

/// The container of a process, as it was looked up.
#[derive(Clone, Debug)]
pub(super) struct CgroupAttribution {
    pub(super) cgroup_id: u64,
    pub(super) container_id: Option<Arc<str>>,
    /// The count of cgroup migrations at the look-up. The attribution holds for the process and its new children as long as the
    /// count stays the same. `None`: not known, look it up again.
    pub(super) migrations: Option<CgroupMigrations>,
}

impl CgroupAttribution {
    /// Whether the attribution still holds for a process that calls exec, if it did for the process or its parent before.
    fn holds_at(&self, exec: &Exec) -> bool {
        self.migrations.is_some()
            && (self.cgroup_id, self.migrations) == (exec.cgroup_id, exec.cgroup_migrations)
    }
}

impl Processes {
    /// See [`Identity::counting_migrations`](super::super::Identity::counting_migrations).
    pub(crate) fn count_migrations(
        &mut self,
        count: impl Fn() -> Option<CgroupMigrations> + Send + 'static,
    ) {
        self.migrations = Some(Box::new(count));
    }

    /// The container of a process that calls exec. It is looked up now and not at the first connection, because the process
    /// may have ended by then. For most processes, no look-up is needed.
    pub(super) fn attribute(&mut self, exec: &Exec, containers: &Containers) -> CgroupAttribution {
        let process = &exec.process;
        let entry = self.known.get_mut(&process.pid);
        if let Some(attribution) = entry
            .filter(|entry| is_same(entry.latest(), process))
            .and_then(|entry| entry.attribution.as_ref())
            .filter(|attribution| attribution.holds_at(exec))
        {
            return attribution.clone();
        }
        let look_up = |pid| {
            let Found {
                container_id,
                is_sure,
            } = containers.find(exec.cgroup_id, pid);
            // The count is read again after the look-up: a migration in between may have changed what the look-up saw.
            let count = || self.migrations.as_ref().and_then(|count| count());
            CgroupAttribution {
                cgroup_id: exec.cgroup_id,
                container_id,
                migrations: exec
                    .cgroup_migrations
                    .filter(|at_exec| is_sure && count() == Some(*at_exec)),
            }
        };
        let attribution = look_up(process.pid);
        // A parent that made one child will make more. Its attribution then holds for them, even if they end before a look-up.
        if exec.cgroup_migrations.is_some()
            && let Some(parent) = process.parents.first()
            && let Some(entry) = self.known.get_mut(&parent.pid)
            && is_parent(entry.latest(), parent)
            && !entry
                .attribution
                .as_ref()
                .is_some_and(|it| it.holds_at(exec))
        {
            let of_parent = look_up(parent.pid);
            if of_parent.migrations.is_some() {
                entry.attribution = Some(of_parent);
            }
        }
        attribution
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use lightmon_event::{Fork, Parent, Process};

    use super::*;

    /// Above the kernel's largest pid.
    const PID: u32 = 0x4000_0001;

    fn process(started_ms: u64) -> Process {
        Process {
            pid: PID,
            started: Some(Duration::from_millis(started_ms)),
            ..Process::default()
        }
    }

    /// Processes in containers with version 1 cgroups, and the count of cgroup migrations.
    struct System {
        proc: tempfile::TempDir,
        containers: Containers,
        processes: Processes,
        migrations: Arc<AtomicU32>,
    }

    impl System {
        fn new() -> Self {
            let proc = tempfile::TempDir::new().unwrap();
            let (migrations, mut processes) = (Arc::new(AtomicU32::new(1)), Processes::default());
            let count = migrations.clone();
            processes.count_migrations(move || CgroupMigrations::new(count.load(Relaxed)));
            Self {
                containers: Containers::of_folder(proc.path().to_owned()),
                proc,
                processes,
                migrations,
            }
        }

        /// From now on, /proc says that the process is in the container whose id is 64 times that digit.
        fn set_container(&self, pid: u32, container: &str) {
            let folder = self.proc.path().join(pid.to_string());
            fs::create_dir_all(&folder).unwrap();
            let text = format!("1:pids:/docker/{}\n", container.repeat(64));
            fs::write(folder.join("cgroup"), text).unwrap();
        }

        fn fork(&mut self, parent: u32, pid: u32) {
            self.processes.fork(Fork {
                time: Duration::from_millis(3000),
                process: child_of(parent, pid),
                exec_id: 0,
            });
        }

        /// The digit of the container of a process that calls exec at this count of migrations.
        #[track_caller]
        fn check_exec(&mut self, process: Process, migrations: u32, expect: Option<&str>) {
            let pid = process.pid;
            let exec = Exec {
                time: Duration::from_millis(3000),
                process,
                cgroup_id: 1,
                cgroup_migrations: CgroupMigrations::new(migrations),
                exec_id: 0,
            };
            self.processes.exec(exec, &self.containers);
            let entry = self.processes.known.get(&pid).unwrap();
            let attribution = entry.attribution.as_ref().unwrap();
            let container = attribution.container_id.as_deref();
            assert_eq!(container.map(|id| &id[..1]), expect);
        }
    }

    fn child_of(parent: u32, pid: u32) -> Process {
        let parent = Parent {
            pid: parent,
            started: Some(Duration::from_millis(990)),
            ..Parent::default()
        };
        Process {
            parents: Arc::new([parent]),
            pid,
            ..process(990)
        }
    }

    #[test]
    fn the_container_stays_the_same_without_a_migration() {
        let mut system = System::new();
        system.set_container(PID, "a");
        system.check_exec(process(990), 1, Some("a"));
        // Neither the process nor its child is looked up: only a counted migration would cause that.
        system.set_container(PID, "b");
        system.check_exec(process(990), 1, Some("a"));
        system.fork(PID, PID + 1);
        system.check_exec(child_of(PID, PID + 1), 1, Some("a"));
        system.fork(PID, PID + 2);
        system.set_container(PID + 2, "c");
        system.migrations.store(2, Relaxed);
        system.check_exec(process(990), 2, Some("b"));
        system.check_exec(child_of(PID, PID + 2), 2, Some("c"));
        // The kernel program does not count migrations.
        system.set_container(PID, "d");
        system.check_exec(process(990), 0, Some("d"));
        system.set_container(PID, "e");
        system.check_exec(process(990), 0, Some("e"));
        // Another process with that pid.
        system.check_exec(process(990), 2, Some("e"));
        system.set_container(PID, "f");
        system.check_exec(process(5000), 2, Some("f"));
    }

    #[test]
    fn a_migration_before_the_look_up_causes_another_look_up() {
        let mut system = System::new();
        system.set_container(PID, "a");
        // The exec was before the migration and the look-up is after it: an earlier child is in another container.
        system.migrations.store(2, Relaxed);
        system.check_exec(process(990), 1, Some("a"));
        system.fork(PID, PID + 1);
        system.set_container(PID + 1, "b");
        system.check_exec(child_of(PID, PID + 1), 1, Some("b"));
    }

    #[test]
    fn a_look_up_that_found_nothing_is_repeated() {
        let mut system = System::new();
        system.check_exec(process(990), 1, None);
        system.set_container(PID, "a");
        system.check_exec(process(990), 1, Some("a"));
    }

    #[test]
    fn one_look_up_of_the_parent_serves_all_its_children() {
        let mut system = System::new();
        system.check_exec(process(990), 0, None);
        system.set_container(PID, "a");
        system.fork(PID, PID + 1);
        system.set_container(PID + 1, "a");
        system.check_exec(child_of(PID, PID + 1), 1, Some("a"));
        system.fork(PID, PID + 2);
        system.check_exec(child_of(PID, PID + 2), 1, Some("a"));
    }
}
