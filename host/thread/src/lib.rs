//! What the threads of lightmon share: locks, the bounded queue, the stop signal, capabilities, and the log on stderr.
//!
//! Knows no events and no stages: each thread belongs to the crate that starts it.

pub mod privileges;
pub mod queue;
pub mod stderr;
mod stop;
mod sync;

pub use self::{
    stop::Stop,
    sync::{Signal, lock},
};
