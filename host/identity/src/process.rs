//! Which program a process runs: remembered when it starts one, inherited when it is made, else read from /proc.
//! A pid alone names nobody: it is reused, so the time at which the process started goes with it.

mod attribution;
pub(crate) mod proc;

use std::{iter, num::NonZeroUsize, sync::Arc, time::Duration};

use self::{attribution::CgroupAttribution, proc::TICK};
use super::{LruCache, container::Containers, lru_cache};
use lightmon_event::{CgroupMigrations, Event, Exec, Fork, Parent, Process, Provenance};

/// Most processes that are remembered.
const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Most processes that are read at the start.
const MAX_READ: usize = 2048;

/// Ancestors of a process that are reported.
const MAX_PARENTS: usize = 4;

/// Ancestors that are read from /proc at once: chains can be made as long as there are processes.
const MAX_UNKNOWN: usize = 64;

/// Programs of one process that are remembered, for connections whose outcome comes late.
const MAX_PROGRAMS: usize = 4;

/// Processes that are read at a time from /proc, of those that run already: so many take about two milliseconds.
const READ_AT_ONCE: usize = 32;

/// The processes that were seen lately, by pid.
pub(super) struct Processes {
    known: LruCache<u32, Entry>,
    /// Tells the count of moves between cgroups.
    moves: Option<Box<dyn Fn() -> Option<CgroupMigrations> + Send>>,
    /// Those that ran before we did, and are still to be read; the last first.
    unread: Vec<u32>,
}

#[derive(Debug)]
struct Entry {
    /// What it runs, and what it ran before, the latest last; at least one.
    programs: Vec<Program>,
    /// What the processes that it makes have as parents, once one did: itself as the latest program has it, and its own.
    family: Option<Arc<[Parent]>>,
    /// Not asked about yet where nobody connected.
    home: Option<CgroupAttribution>,
}

#[derive(Debug)]
struct Program {
    /// From when on; zero when it was read from /proc, where nobody says so.
    since: Duration,
    /// See [`Event::exec_id`].
    exec_id: u64,
    process: Arc<Process>,
}

impl Entry {
    fn new(program: Program, home: Option<CgroupAttribution>) -> Self {
        Self {
            programs: vec![program],
            family: None,
            home,
        }
    }

    /// Of what was read from /proc.
    fn of_proc((process, exec_id): (Process, u64)) -> Self {
        let program = Program {
            since: Duration::ZERO,
            exec_id,
            process: Arc::new(process),
        };
        Self::new(program, None)
    }

    fn latest(&self) -> &Arc<Process> {
        let program = self.programs.last();
        &program.expect("invariant: at least one").process
    }

    fn family(&mut self) -> Arc<[Parent]> {
        if let Some(family) = &self.family {
            return family.clone();
        }
        let Process {
            pid,
            started,
            comm,
            path,
            parents,
            ..
        } = &**self.latest();
        let parent = Parent {
            pid: *pid,
            started: *started,
            comm: comm.clone(),
            path: path.clone(),
        };
        let ancestors = parents.iter().take(MAX_PARENTS - 1).cloned();
        let family: Arc<[Parent]> = iter::once(parent).chain(ancestors).collect();
        self.family.insert(family).clone()
    }

    /// What it was at that time, when its exec_id was that; not known when that is longer ago than what is remembered.
    fn at(&self, time: Duration, exec_id: u64) -> Option<&Arc<Process>> {
        let mut latest_first = self.programs.iter().rev();
        let program = latest_first.find(|program| program.since <= time)?;
        // What was read later may be a program that it has started since.
        let is_sure = program.process.provenance != Some(Provenance::Proc)
            || exec_id == 0
            || program.exec_id == 0
            || program.exec_id == exec_id;
        is_sure.then_some(&program.process)
    }
}

impl Default for Processes {
    fn default() -> Self {
        Self {
            known: lru_cache(MAX_PROCESSES),
            moves: None,
            unread: Vec::new(),
        }
    }
}

impl Processes {
    /// With those that run now to be [read](Self::read_some).
    pub(super) fn of_system() -> Self {
        let mut unread: Vec<_> = proc::pids().take(MAX_READ).collect();
        unread.reverse();
        Self {
            unread,
            ..Self::default()
        }
    }

    /// Whether there is something to read still.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads some of the processes that run already: they were not seen starting, and may end before they are asked about. Not all
    /// at once: on a host with thousands of them events would wait for it.
    pub(super) fn read_some(&mut self) {
        for _ in 0..READ_AT_ONCE {
            let Some(pid) = self.unread.pop() else {
                return;
            };
            // Their parents come before: /proc is in the order of pids.
            if !self.known.contains(&pid)
                && let Some((mut process, exec_id)) = proc::read(pid)
            {
                self.name_parents(&mut process);
                self.known.put(pid, Entry::of_proc((process, exec_id)));
            }
        }
    }

    /// Remembers a process that was made: it runs its maker's program.
    pub(super) fn fork(&mut self, fork: Fork) {
        let Fork {
            time,
            mut process,
            exec_id,
        } = fork;
        let Some(maker) = process.parents.first().cloned() else {
            return;
        };
        self.name_parents(&mut process);
        let Some(entry) = self
            .known
            .get_mut(&maker.pid)
            .filter(|entry| is_parent(entry.latest(), &maker))
        else {
            return;
        };
        let home = entry.home.clone();
        let Some(program) = entry.at(time, exec_id) else {
            return;
        };
        let program = Process {
            path: program.path.clone(),
            args: program.args.clone(),
            args_cut: program.args_cut,
            provenance: program.provenance,
            ..process
        };
        let pid = program.pid;
        let program = Program {
            since: time,
            exec_id,
            process: Arc::new(program),
        };
        self.known.put(pid, Entry::new(program, home));
    }

    /// Remembers the program that a process has started, and the container that it is in.
    pub(super) fn exec(&mut self, exec: Exec, containers: &Containers) {
        let home = Some(self.home(&exec, containers));
        let Exec {
            time,
            mut process,
            exec_id,
            ..
        } = exec;
        self.name_parents(&mut process);
        let pid = process.pid;
        let program = Program {
            since: time,
            exec_id,
            process: Arc::new(process),
        };
        match self
            .known
            .get_mut(&pid)
            .filter(|entry| same_process(entry.latest(), &program.process))
        {
            Some(entry) => {
                if entry.programs.len() >= MAX_PROGRAMS {
                    entry.programs.remove(0);
                }
                // Most have no more than this one after that of their maker.
                entry.programs.reserve_exact(1);
                entry.programs.push(program);
                entry.family = None;
                entry.home = home;
            }
            None => {
                self.known.put(pid, Entry::new(program, home));
            }
        }
    }

    /// The process of an event as it was when it connected, and the id of its container; what the event itself says
    /// where nothing else is known.
    pub(super) fn of(
        &mut self,
        event: &Event,
        containers: &Containers,
    ) -> (Arc<Process>, Option<Arc<str>>) {
        let known = self
            .known
            .get_mut(&event.pid)
            .filter(|entry| same_process(entry.latest(), &event.process));
        let home = known.as_ref().and_then(|entry| entry.home.clone());
        let home = home
            .filter(|home| home.cgroup_id == event.cgroup_id)
            .unwrap_or_else(|| CgroupAttribution {
                cgroup_id: event.cgroup_id,
                container: containers.id_of(event.cgroup_id, event.pid),
                moves: None,
            });
        let container = home.container.clone();
        if let Some(entry) = known {
            entry.home = Some(home);
            let process = entry.at(event.kernel_time, event.exec_id).cloned();
            return (process.unwrap_or_else(|| self.bare(event)), container);
        }
        let Some((mut process, exec_id)) =
            proc::read(event.pid).filter(|(process, _)| same_process(process, &event.process))
        else {
            return (self.bare(event), container);
        };
        self.name_parents(&mut process);
        let mut entry = Entry::of_proc((process, exec_id));
        entry.home = Some(home);
        let process = entry.at(event.kernel_time, event.exec_id).cloned();
        // Without a start time nobody can say later whether it is still the same process.
        if event.process.started.is_some() {
            self.known.put(event.pid, entry);
        }
        (process.unwrap_or_else(|| self.bare(event)), container)
    }

    fn bare(&mut self, event: &Event) -> Arc<Process> {
        let mut process = Process::clone(&event.process);
        self.name_parents(&mut process);
        Arc::new(process)
    }

    /// Names the parent, of which only pid and start are known, and adds its own parents.
    fn name_parents(&mut self, process: &mut Process) {
        let mut unknown = Vec::new();
        let mut next = process.parents.first().cloned();
        while let Some(parent) = next.filter(|_| unknown.len() < MAX_UNKNOWN) {
            let Some((ancestor, exec_id)) = (!self.knows(&parent))
                .then(|| proc::read(parent.pid))
                .flatten()
                .filter(|(ancestor, _)| is_parent(ancestor, &parent))
            else {
                break;
            };
            next = ancestor.parents.first().cloned();
            unknown.push((ancestor, exec_id));
        }
        for (mut ancestor, exec_id) in unknown.into_iter().rev() {
            self.add_parents(&mut ancestor);
            self.known
                .put(ancestor.pid, Entry::of_proc((ancestor, exec_id)));
        }
        self.add_parents(process);
    }

    fn add_parents(&mut self, process: &mut Process) {
        let Some(parent) = process.parents.first() else {
            return;
        };
        if let Some(entry) = self
            .known
            .get_mut(&parent.pid)
            .filter(|entry| is_parent(entry.latest(), parent))
        {
            process.parents = entry.family();
        }
    }

    fn knows(&mut self, parent: &Parent) -> bool {
        self.known
            .get_mut(&parent.pid)
            .is_some_and(|entry| is_parent(entry.latest(), parent))
    }
}

/// Same pid and same start.
fn same_process(known: &Process, process: &Process) -> bool {
    known.pid == process.pid && same_start(known.started, process.started)
}

fn is_parent(known: &Process, parent: &Parent) -> bool {
    known.pid == parent.pid && same_start(known.started, parent.started)
}

/// /proc tells a start in ticks, the kernel program in nanoseconds; without BTF it tells none.
fn same_start(known: Option<Duration>, start: Option<Duration>) -> bool {
    let ticks = |start: Duration| start.as_nanos() / TICK.as_nanos();
    start.is_none() || known == start || known.map(ticks) == start.map(ticks)
}

#[cfg(test)]
mod tests;
