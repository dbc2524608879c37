//! Remembers which program each process runs: from its exec, from its parent at fork, else from /proc.
//!
//! A pid alone does not name a process, because pids are reused. The start time of the process is compared as well.

mod attribution;
mod entry;
pub(crate) mod proc;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use lightmon_event::{CgroupMigrations, Event, Exec, Fork, Parent, Process};

use self::{
    attribution::CgroupAttribution,
    entry::{Entry, Program},
    proc::TICK,
};
use super::{
    cache::{LruCache, lru_cache},
    container::Containers,
};

/// Most processes that are remembered.
const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Most running processes that are read from /proc at the start.
const MAX_PROCESSES_AT_START: usize = 2048;

/// Most ancestors of one process that are read from /proc at once. A process can make a chain of any length.
const MAX_ANCESTOR_READS: usize = 64;

/// How many of the processes that run at the start are read between two batches of events. It takes about 2 ms.
const READS_PER_BATCH: usize = 32;

/// The processes that were seen lately, by pid.
pub(super) struct Processes {
    known: LruCache<u32, Entry>,
    /// Reads the count of cgroup migrations.
    migrations: Option<Box<dyn Fn() -> Option<CgroupMigrations> + Send>>,
    /// The pids that ran at the start and are not read yet, in reverse order.
    unread: Vec<u32>,
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            known: lru_cache(MAX_PROCESSES),
            migrations: None,
            unread: Vec::new(),
        }
    }
}

impl Processes {
    /// The processes that run now; [`read_some`](Self::read_some) reads them.
    pub(super) fn of_system() -> Self {
        let mut unread: Vec<_> = proc::pids().take(MAX_PROCESSES_AT_START).collect();
        unread.reverse();
        Self {
            unread,
            ..Self::default()
        }
    }

    /// Whether [`read_some`](Self::read_some) has something to do.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads some of the processes that ran at the start, before they end. It does not read all of them at once: on a host with
    /// thousands of processes, the events would wait.
    pub(super) fn read_some(&mut self) {
        for _ in 0..READS_PER_BATCH {
            let Some(pid) = self.unread.pop() else {
                return;
            };
            // /proc is in the order of pids, so parents mostly come before their children.
            if !self.known.contains(&pid)
                && let Some((mut process, exec_id)) = proc::read(pid)
            {
                self.add_parents(&mut process);
                self.known.put(pid, Entry::of_proc((process, exec_id)));
            }
        }
    }

    /// Remembers a new process, which runs the program of its parent.
    pub(super) fn fork(&mut self, fork: Fork) {
        let Fork {
            time,
            mut process,
            exec_id,
        } = fork;
        let Some(parent) = process.parents.first().cloned() else {
            return;
        };
        self.add_parents(&mut process);
        let entry = self.known.get_mut(&parent.pid);
        let Some(entry) = entry.filter(|entry| is_parent(entry.latest(), &parent)) else {
            return;
        };
        let attribution = entry.attribution.clone();
        let Some(program) = entry.at(time, exec_id) else {
            return;
        };
        let process = Process {
            path: program.path.clone(),
            args: program.args.clone(),
            args_cut: program.args_cut,
            provenance: program.provenance,
            ..process
        };
        let pid = process.pid;
        let program = Program {
            since: time,
            exec_id,
            process: Arc::new(process),
        };
        self.known.put(pid, Entry::new(program, attribution));
    }

    /// Remembers the program that a process runs from now on, and the container of the process.
    pub(super) fn exec(&mut self, exec: Exec, containers: &Containers) {
        let attribution = Some(self.attribute(&exec, containers));
        let Exec {
            time,
            mut process,
            exec_id,
            ..
        } = exec;
        self.add_parents(&mut process);
        let pid = process.pid;
        let program = Program {
            since: time,
            exec_id,
            process: Arc::new(process),
        };
        let entry = self.known.get_mut(&pid);
        match entry.filter(|entry| is_same(entry.latest(), &program.process)) {
            Some(entry) => {
                entry.add(program);
                entry.attribution = attribution;
            }
            None => {
                self.known.put(pid, Entry::new(program, attribution));
            }
        }
    }

    /// The process of an event as it was when it connected, and the id of its container. If nothing is known about the
    /// process, it is as the event has it.
    pub(super) fn of(
        &mut self,
        event: &Event,
        containers: &Containers,
    ) -> (Arc<Process>, Option<Arc<str>>) {
        let entry = self.known.get_mut(&event.pid);
        let entry = entry.filter(|entry| is_same(entry.latest(), &event.process));
        let attribution = entry.as_ref().and_then(|entry| entry.attribution.clone());
        let attribution = attribution
            .filter(|attribution| attribution.cgroup_id == event.cgroup_id)
            .unwrap_or_else(|| CgroupAttribution {
                cgroup_id: event.cgroup_id,
                container_id: containers.id_of(event.cgroup_id, event.pid),
                migrations: None,
            });
        let container_id = attribution.container_id.clone();
        if let Some(entry) = entry {
            entry.attribution = Some(attribution);
            let process = entry.at(event.kernel_time, event.exec_id).cloned();
            return (
                process.unwrap_or_else(|| self.without_program(event)),
                container_id,
            );
        }
        let read = proc::read(event.pid);
        let Some((mut process, exec_id)) =
            read.filter(|(process, _)| is_same(process, &event.process))
        else {
            return (self.without_program(event), container_id);
        };
        self.add_parents(&mut process);
        let mut entry = Entry::of_proc((process, exec_id));
        entry.attribution = Some(attribution);
        let process = entry.at(event.kernel_time, event.exec_id).cloned();
        // Without a start time, a later event could not tell whether the pid is still that of the same process.
        if event.process.started.is_some() {
            self.known.put(event.pid, entry);
        }
        (
            process.unwrap_or_else(|| self.without_program(event)),
            container_id,
        )
    }

    fn without_program(&mut self, event: &Event) -> Arc<Process> {
        let mut process = Process::clone(&event.process);
        self.add_parents(&mut process);
        Arc::new(process)
    }

    /// Completes the parents of a process of which only the pid and the start of the first one are known. Ancestors that
    /// are not known are read from /proc.
    fn add_parents(&mut self, process: &mut Process) {
        let mut read = Vec::new();
        let mut next = process.parents.first().cloned();
        while let Some(parent) = next
            && read.len() < MAX_ANCESTOR_READS
            && !self.knows(&parent)
            && let Some((ancestor, exec_id)) = proc::read(parent.pid)
            && is_parent(&ancestor, &parent)
        {
            next = ancestor.parents.first().cloned();
            read.push((ancestor, exec_id));
        }
        // The oldest first, so that each finds its own parents.
        for (mut ancestor, exec_id) in read.into_iter().rev() {
            self.copy_parents(&mut ancestor);
            self.known
                .put(ancestor.pid, Entry::of_proc((ancestor, exec_id)));
        }
        self.copy_parents(process);
    }

    /// Takes the parents of a process from the entry of its parent, if there is one.
    fn copy_parents(&mut self, process: &mut Process) {
        let Some(parent) = process.parents.first() else {
            return;
        };
        let entry = self.known.get_mut(&parent.pid);
        if let Some(entry) = entry.filter(|entry| is_parent(entry.latest(), parent)) {
            process.parents = entry.parents_of_children();
        }
    }

    fn knows(&mut self, parent: &Parent) -> bool {
        let entry = self.known.get(&parent.pid);
        entry.is_some_and(|entry| is_parent(entry.latest(), parent))
    }
}

/// Whether two records are of the same process: same pid and same start.
fn is_same(known: &Process, process: &Process) -> bool {
    known.pid == process.pid && is_same_start(known.started, process.started)
}

fn is_parent(known: &Process, parent: &Parent) -> bool {
    known.pid == parent.pid && is_same_start(known.started, parent.started)
}

/// /proc has start times in ticks, the kernel program in nanoseconds. Without BTF, the kernel program has none.
fn is_same_start(known: Option<Duration>, start: Option<Duration>) -> bool {
    let ticks = |start: Duration| start.as_nanos() / TICK.as_nanos();
    start.is_none() || known == start || known.map(ticks) == start.map(ticks)
}

#[cfg(test)]
mod tests;
