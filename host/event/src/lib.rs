//! Events, notices and the balance of a run: what the stages of lightmon hand to each other.
//!
//! Knows no stage and does no I/O. The one crate that knows JSON ([`json`]) and how text from outside is escaped ([`escape`]).

mod container;
mod errno;
mod event;
mod notice;
mod outcome;
mod process;
mod protocol;
mod record;

#[cfg(any(test, feature = "testing"))]
pub mod arbitrary;
pub mod escape;
pub mod json;
pub mod stats;

pub use self::{
    container::{Container, Pod, Unit},
    errno::ErrorName,
    event::{Event, Id, NO_ID},
    notice::{Lost, LostIn, Notice},
    outcome::Outcome,
    process::{Parent, Process, Provenance, split_args},
    protocol::Protocol,
    record::{CgroupMigrations, Exec, Fork, Record},
    stats::Stats,
};
