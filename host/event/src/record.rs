//! Records: what a source delivers. Connections, and what the identity stage must know to complete them.

use std::{num::NonZeroU32, time::Duration};

use crate::{Event, Lost, Notice, Process};

/// What a source delivers, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A connection. A live source leaves `process`, `user` and `container` to the identity stage.
    Connection(Event),
    /// A connection of lightmon itself, which is counted and never reported.
    FromSelf(Event),
    /// A fork. Not reported; the identity stage remembers it.
    Fork(Fork),
    /// An exec. Not reported; the identity stage remembers it.
    Exec(Exec),
    /// A new cgroup: from now on, its id stands for this path.
    Cgroup {
        /// cgroup v2 id.
        id: u64,
        /// Path from the root of the hierarchy.
        path: Vec<u8>,
    },
    /// The kernel program has lost records.
    Lost(Lost),
    /// A notice in a recording. It is of another run, and is passed on unchanged.
    Notice(Notice),
}

/// A process has forked.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// When, since boot.
    pub time: Duration,
    /// The child. It runs its parent's program; `parents` has only the parent's pid.
    pub process: Process,
    /// See [`Event::exec_id`]. The same in parent and child.
    pub exec_id: u64,
}

/// A process has called exec.
#[derive(Clone, Debug, PartialEq)]
pub struct Exec {
    /// When, since boot.
    pub time: Duration,
    /// The process with its new program. `parents` has at most the parent's pid.
    pub process: Process,
    /// cgroup v2 id; 0 if not known.
    pub cgroup_id: u64,
    /// The number of cgroup migrations on this system until then, if they are counted.
    pub cgroup_migrations: Option<CgroupMigrations>,
    /// See [`Event::exec_id`].
    pub exec_id: u64,
}

/// The number of cgroup migrations. While the number stays the same, no process changes its cgroup.
pub type CgroupMigrations = NonZeroU32;
