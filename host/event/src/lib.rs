//! Events, notices and the balance of a run: what the stages of lightmon hand to each other.
//!
//! Does no I/O and knows no stage. Only this crate knows the JSON of events ([`json`]), and how text from processes, containers and
//! plugins is escaped ([`escape`]).

mod event;

mod container;
mod errno;
mod outcome;
mod process;
mod protocol;

mod notice;
mod record;

pub mod escape;
pub mod json;
pub mod stats;

#[cfg(any(test, feature = "testing"))]
pub mod arbitrary;

pub use self::{
    container::{Container, Pod, Unit},
    errno::ErrorName,
    event::{Event, Id, NO_ID},
    notice::{Lost, LostIn, Notice},
    outcome::Outcome,
    process::{MAX_ARGS_BYTES, Parent, Process, Provenance, split_args},
    protocol::Protocol,
    record::{CgroupMigrations, Exec, Fork, Record},
    stats::Stats,
};
