//! The canary: real connections over the loopback device, of which is known what must be reported. Whoever reads the
//! source compares; a source that is blind to them is blind to others' too.
//!
//! ```text
//! SelfTest::fly ──► Expectations ──► saw(event) … ──► missing: nothing, or what did not come and what came wrong
//! ```

mod attempt;
mod expectation;
#[cfg(test)]
mod tests;
pub mod watch;

use std::{
    collections::VecDeque,
    net::UdpSocket,
    time::{Duration, Instant},
};

use self::attempt::{ATTEMPTS, Attempt, BTF};
pub use self::expectation::Expectations;
use crate::ebpf::{self, Degraded};

/// Unconnected UDP is reported once a minute and destination: no port is used again before.
const PORT_REST: Duration = Duration::from_secs(75);

/// Flies as often as it is asked to.
#[derive(Debug)]
pub struct SelfTest {
    attempts: Vec<&'static Attempt>,
    /// Flights that the source can't see anyway, and why.
    skipped: Vec<String>,
    /// Receivers whose ports must not be used again yet.
    resting: VecDeque<(Instant, UdpSocket)>,
}

impl SelfTest {
    /// For a source that could not attach all of its hooks (see [`EbpfSource::degraded`](ebpf::EbpfSource::degraded)).
    pub fn new(degraded: &[Degraded]) -> Self {
        let is_there = |need: &str| {
            (need == BTF || ebpf::hooks().any(|(hook, _)| hook == need))
                && degraded.iter().all(|degraded| degraded.hook != need)
        };
        let (mut attempts, mut skipped) = (Vec::new(), Vec::new());
        for attempt in &ATTEMPTS {
            match attempt.needs.iter().find(|need| !is_there(need)) {
                None => attempts.push(attempt),
                Some(need) => skipped.push(format!("{}: without {need}", attempt.name)),
            }
        }
        Self {
            attempts,
            skipped,
            resting: VecDeque::new(),
        }
    }

    /// Makes the connections, from the calling thread; takes milliseconds, or some seconds where loopback is broken.
    pub fn run(&mut self) -> Expectations {
        while self
            .resting
            .front()
            .is_some_and(|(since, _)| since.elapsed() > PORT_REST)
        {
            self.resting.pop_front();
        }
        let (mut expected, mut skipped) = (Vec::new(), self.skipped.clone());
        for attempt in &self.attempts {
            match attempt.run() {
                Ok((ends, receiver)) => {
                    expected.push(attempt.expectation(ends));
                    self.resting
                        .extend(receiver.map(|socket| (Instant::now(), socket)));
                }
                Err(error) => skipped.push(format!("{}: {error}", attempt.name)),
            }
        }
        Expectations { expected, skipped }
    }
}
