//! Tests the real kernel program on real sockets: each test opens connections of its own and waits for their events.
//!
//! No test depends on what other processes of the machine do.

mod exclude;
mod from_self;
mod loss;
mod monitor;
mod process;
mod raw;
mod tcp;
mod udp;
mod wire;
