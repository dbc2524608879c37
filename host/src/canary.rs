//! The canary: real connections over the loopback device, of which is known what must be reported. Whoever reads the
//! source compares; a source that is blind to them is blind to others' too.
//!
//! ```text
//! Canary::fly ──► Expectations ──► saw(event) … ──► missing: nothing, or what did not come and what came wrong
//! ```

mod expectation;
mod flight;
#[cfg(test)]
mod tests;
pub mod watch;

use std::{
    collections::VecDeque,
    net::UdpSocket,
    time::{Duration, Instant},
};

pub use self::expectation::Expectations;
use self::flight::{BTF, FLIGHTS, Flight};
use crate::source::ebpf::{self, Degraded};

/// Unconnected UDP is reported once a minute and destination: no port is used again before.
const PORT_REST: Duration = Duration::from_secs(75);

/// Flies as often as it is asked to.
#[derive(Debug)]
pub struct Canary {
    flights: Vec<&'static Flight>,
    /// Flights that the source can't see anyway, and why.
    grounded: Vec<String>,
    /// Receivers whose ports must not be used again yet.
    resting: VecDeque<(Instant, UdpSocket)>,
}

impl Canary {
    /// For a source that could not attach all of its hooks (see [`EbpfSource::degraded`](ebpf::EbpfSource::degraded)).
    pub fn new(degraded: &[Degraded]) -> Self {
        let is_there = |need: &str| {
            (need == BTF || ebpf::hooks().any(|(hook, _)| hook == need))
                && degraded.iter().all(|degraded| degraded.hook != need)
        };
        let (mut flights, mut grounded) = (Vec::new(), Vec::new());
        for flight in &FLIGHTS {
            match flight.needs.iter().find(|need| !is_there(need)) {
                None => flights.push(flight),
                Some(need) => grounded.push(format!("{}: without {need}", flight.name)),
            }
        }
        Self {
            flights,
            grounded,
            resting: VecDeque::new(),
        }
    }

    /// Makes the connections, from the calling thread; takes milliseconds, or some seconds where loopback is broken.
    pub fn fly(&mut self) -> Expectations {
        while self
            .resting
            .front()
            .is_some_and(|(since, _)| since.elapsed() > PORT_REST)
        {
            self.resting.pop_front();
        }
        let (mut expected, mut grounded) = (Vec::new(), self.grounded.clone());
        for flight in &self.flights {
            match flight.fly() {
                Ok((ends, receiver)) => {
                    expected.push(flight.expectation(ends));
                    self.resting
                        .extend(receiver.map(|socket| (Instant::now(), socket)));
                }
                Err(error) => grounded.push(format!("{}: {error}", flight.name)),
            }
        }
        Expectations { expected, grounded }
    }
}
