//! The threads of lightmon itself: the capabilities that each keeps, how they are told to stop, the locks and queues between
//! them, and the log on stderr.
//!
//! Knows no events.

pub mod privileges;
pub mod stderr;
mod stop;
mod sync;

pub use self::{
    stop::Stop,
    sync::{lock, wait},
};
