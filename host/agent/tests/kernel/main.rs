//! The real kernel program on real sockets: each test opens connections of its own and waits for their events.
//! Nothing here looks at what other processes do.

mod exclude;
mod loss;
mod monitor;
mod own;
mod process;
mod raw;
mod tcp;
mod udp;
mod wire;
