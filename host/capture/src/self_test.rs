//! The self-test: makes real connections over the loopback device, and checks that the live source reports them as it should.
//!
//! Does not read the source. Whoever reads it shows the events to [`Expectations`]:
//!
//! ```text
//! SelfTest::run ──► Expectations ──► observe(event) … ──► failures: not seen, wrong, or seen more than once
//! ```
//!
//! `lightmon doctor` runs it once, [`periodic`] while the monitor runs (`--canary-interval`).

mod attempt;
mod expectation;
pub mod periodic;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    net::UdpSocket,
    time::{Duration, Instant},
};

use self::attempt::{ATTEMPTS, Attempt, BTF};
pub use self::expectation::Expectations;
use crate::ebpf::{self, Degraded};

/// How long the port of a datagram is not used again. The kernel program reports unconnected UDP once a minute and destination.
const PORT_REUSE_INTERVAL: Duration = Duration::from_secs(75);

/// Makes the connections, as often as [`run`](Self::run) is called.
#[derive(Debug)]
pub struct SelfTest {
    attempts: Vec<&'static Attempt>,
    /// Attempts that this source can't report, and why.
    skipped: Vec<String>,
    /// Sockets that keep their ports occupied until [`PORT_REUSE_INTERVAL`] is over, and since when.
    occupied_ports: VecDeque<(Instant, UdpSocket)>,
}

impl SelfTest {
    /// Skips the attempts that need a hook or BTF that the source does not have, see
    /// [`EbpfSource::degraded`](ebpf::EbpfSource::degraded).
    pub fn new(degraded: &[Degraded]) -> Self {
        let is_available = |need: &str| {
            (need == BTF || ebpf::hooks().any(|(hook, _)| hook == need))
                && degraded.iter().all(|degraded| degraded.hook != need)
        };
        let (mut attempts, mut skipped) = (Vec::new(), Vec::new());
        for attempt in &ATTEMPTS {
            match attempt.needs.iter().find(|need| !is_available(need)) {
                None => attempts.push(attempt),
                Some(need) => skipped.push(format!("{}: without {need}", attempt.name)),
            }
        }
        Self {
            attempts,
            skipped,
            occupied_ports: VecDeque::new(),
        }
    }

    /// Makes the connections from the calling thread, and returns what must be reported. Takes milliseconds; seconds if loopback does
    /// not work.
    pub fn run(&mut self) -> Expectations {
        while self
            .occupied_ports
            .front()
            .is_some_and(|(since, _)| since.elapsed() > PORT_REUSE_INTERVAL)
        {
            self.occupied_ports.pop_front();
        }
        let (mut expected, mut skipped) = (Vec::new(), self.skipped.clone());
        for attempt in &self.attempts {
            match attempt.run() {
                Ok((endpoints, receiver)) => {
                    expected.push(attempt.expectation(endpoints));
                    self.occupied_ports
                        .extend(receiver.map(|socket| (Instant::now(), socket)));
                }
                Err(error) => skipped.push(format!("{}: {error}", attempt.name)),
            }
        }
        Expectations { expected, skipped }
    }
}
