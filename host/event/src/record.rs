//! What a source brings: connections, and what the stages must know to complete them.

use std::{num::NonZeroU32, time::Duration};

use crate::{Event, Lost, Notice, Process};

/// What a source brings, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A connection, whose `process`, `user` and `container` a live source leaves for the enrich stage.
    Connection(Event),
    /// A connection of lightmon itself: counted, never reported.
    FromSelf(Event),
    /// A process is made: nothing to report, but to remember.
    Fork(Fork),
    /// A process starts a program: likewise.
    Exec(Exec),
    /// A cgroup is made: its id stands for this path from now on.
    Cgroup {
        /// cgroup v2 id.
        id: u64,
        /// From the root of the hierarchy.
        path: Vec<u8>,
    },
    /// The source could not bring all that there was.
    Lost(Lost),
    /// A recording's notice: of another run, and passed on as it is.
    Notice(Notice),
}

/// A process has made another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// When, since boot.
    pub time: Duration,
    /// The new process, which runs its maker's program; `parents` holds the maker's pid only.
    pub process: Process,
    /// See [`Event::exec_id`]; of both.
    pub exec_id: u64,
}

/// A process has started a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// When, since boot.
    pub time: Duration,
    /// The process with its new program; `parents` holds at most the parent's pid.
    pub process: Process,
    /// cgroup v2 id; 0 when not known.
    pub cgroup_id: u64,
    /// How often processes of this system were moved to another cgroup until then, where that is counted.
    pub cgroup_migrations: Option<CgroupMigrations>,
    /// See [`Event::exec_id`].
    pub exec_id: u64,
}

/// A count of moves between cgroups: as long as it stays the same, no process has changed its cgroups.
pub type CgroupMigrations = NonZeroU32;
