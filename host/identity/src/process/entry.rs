//! What lightmon remembers of one process: its programs and its container.

use std::{iter, sync::Arc, time::Duration};

use lightmon_event::{Parent, Process, Provenance};

use super::attribution::CgroupAttribution;

/// Most ancestors of a process that an event has.
const MAX_PARENTS: usize = 4;

/// Most programs of one process that are remembered, for connections whose outcome comes late.
const MAX_PROGRAMS: usize = 4;

/// One process.
#[derive(Debug)]
pub(super) struct Entry {
    /// The programs that the process has run, the latest last; at least one.
    programs: Vec<Program>,
    /// The parents of the children of this process: the process itself with its latest program, then its own parents.
    /// `None` until a child needs them.
    parents_of_children: Option<Arc<[Parent]>>,
    /// `None` until the process connects or calls exec.
    pub(super) attribution: Option<CgroupAttribution>,
}

/// A process while it runs one program.
#[derive(Debug)]
pub(super) struct Program {
    /// When the process began to run it. Zero if it was read from /proc, which does not tell.
    pub(super) since: Duration,
    /// See [`Event::exec_id`].
    pub(super) exec_id: u64,
    pub(super) process: Arc<Process>,
}

impl Entry {
    pub(super) fn new(program: Program, attribution: Option<CgroupAttribution>) -> Self {
        Self {
            programs: vec![program],
            parents_of_children: None,
            attribution,
        }
    }

    /// From what [`proc::read`](super::proc::read) returns.
    pub(super) fn of_proc((process, exec_id): (Process, u64)) -> Self {
        let program = Program {
            since: Duration::ZERO,
            exec_id,
            process: Arc::new(process),
        };
        Self::new(program, None)
    }

    /// The process runs this program from now on.
    pub(super) fn add(&mut self, program: Program) {
        if self.programs.len() >= MAX_PROGRAMS {
            self.programs.remove(0);
        }
        // Most processes call exec once.
        self.programs.reserve_exact(1);
        self.programs.push(program);
        self.parents_of_children = None;
    }

    /// The process with the program that it ran last.
    pub(super) fn latest(&self) -> &Arc<Process> {
        let program = self.programs.last();
        &program.expect("invariant: at least one").process
    }

    /// The parents of a child that is made now.
    pub(super) fn parents_of_children(&mut self) -> Arc<[Parent]> {
        if let Some(parents) = &self.parents_of_children {
            return parents.clone();
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
        let parents: Arc<[Parent]> = iter::once(parent).chain(ancestors).collect();
        self.parents_of_children.insert(parents).clone()
    }

    /// The process as it was at that time. `None` if the program of that time is forgotten, or if the exec id shows that the process
    /// ran another program then.
    pub(super) fn at(&self, time: Duration, exec_id: u64) -> Option<&Arc<Process>> {
        let mut latest_first = self.programs.iter().rev();
        let program = latest_first.find(|program| program.since <= time)?;
        // /proc was read later: by then the process may have called exec.
        let is_sure = program.process.provenance != Some(Provenance::Proc)
            || exec_id == 0
            || program.exec_id == 0
            || program.exec_id == exec_id;
        is_sure.then_some(&program.process)
    }
}
