//! Runs the self-test periodically while the monitor runs, and reports when it fails and when it passes again.
//!
//! Runs on a thread of its own, so that it also notices when no event arrives any more.

use std::{
    io, mem,
    os::fd::AsFd as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lightmon_event::Event;
use lightmon_thread::{Stop, lock, privileges};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Expectations, SelfTest};

/// How long it may take until the connections of one run are reported.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of events kept while the connections are made. The self-test makes a handful, and lightmon few others.
const MAX_EARLY_EVENTS: usize = 64;

/// Runs the self-test at once and then every `interval`, until `stop` is set. Calls `report` with the failures when the self-test fails,
/// and with `Ok` when it passes again; not again while nothing changes. The returned observer must be shown lightmon's own connections.
///
/// The interval should be at least a second: that limits the number of occupied UDP ports to some dozens.
///
/// # Errors
/// If the thread can't be started.
pub fn start(
    mut self_test: SelfTest,
    interval: Duration,
    stop: Stop,
    mut report: impl FnMut(Result<(), String>) + Send + 'static,
) -> io::Result<Observer> {
    let observer = Observer::default();
    let returned = observer.clone();
    thread::Builder::new()
        .name("canary".into())
        .spawn(move || {
            privileges::give_up_all_but(&[]);
            let (mut has_failed, mut skipped) = (false, Vec::new());
            loop {
                let began = Instant::now();
                let expectations = observer.run(&mut self_test);
                // While lightmon ends, connections are not reported any more. That is no failure.
                if stop.is_set() {
                    return;
                }
                if expectations.skipped() != skipped {
                    skipped = expectations.skipped().to_vec();
                    tracing::warn!(
                        connections = skipped.join(", "),
                        "self-test is not complete: connections skipped"
                    );
                }
                let failures = expectations.failures();
                // Without a connection the result is not known.
                if expectations.made() > 0 && has_failed == failures.is_empty() {
                    has_failed = !has_failed;
                    report(if has_failed {
                        Err(failures.join("; "))
                    } else {
                        Ok(())
                    });
                }
                if is_stopped_within(&stop, interval.saturating_sub(began.elapsed())) {
                    return;
                }
            }
        })?;
    Ok(returned)
}

/// Compares lightmon's own connections with those of the self-test. Whoever reads the source calls [`observe`](Self::observe).
#[derive(Clone, Debug, Default)]
pub struct Observer(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
enum State {
    /// The self-test does not run.
    #[default]
    Idle,
    /// The connections are being made. Events that arrive meanwhile are kept, and compared afterwards.
    Connecting(Vec<Event>),
    /// The connections were made. Events are compared as they arrive.
    Observing(Expectations),
}

impl Observer {
    /// Compares an event with the connections of the self-test.
    pub fn observe(&self, event: &Event) {
        match &mut *self.state() {
            State::Idle => {}
            State::Connecting(early) if early.len() < MAX_EARLY_EVENTS => early.push(event.clone()),
            State::Connecting(_) => {}
            State::Observing(expectations) => {
                if expectations.observe(event) && expectations.are_all_seen() {
                    self.0.1.notify_one();
                }
            }
        }
    }

    /// Makes the connections, and waits until all are reported, for at most [`REPORT_TIMEOUT`].
    fn run(&self, self_test: &mut SelfTest) -> Expectations {
        *self.state() = State::Connecting(Vec::new());
        self.wait(self_test.run())
    }

    fn wait(&self, mut expectations: Expectations) -> Expectations {
        let mut state = self.state();
        if let State::Connecting(early) = &*state {
            for event in early {
                expectations.observe(event);
            }
        }
        *state = State::Observing(expectations);
        let is_incomplete = |state: &mut State| matches!(state, State::Observing(expectations) if !expectations.are_all_seen());
        let result = self
            .0
            .1
            .wait_timeout_while(state, REPORT_TIMEOUT, is_incomplete);
        let (mut state, _) = result.unwrap_or_else(PoisonError::into_inner);
        match mem::take(&mut *state) {
            State::Observing(expectations) => expectations,
            State::Idle | State::Connecting(_) => {
                unreachable!("invariant: only this thread changes the state")
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.0)
    }
}

/// Waits for this time. Returns true as soon as `stop` is set.
fn is_stopped_within(stop: &Stop, time: Duration) -> bool {
    let began = Instant::now();
    loop {
        let left = time.saturating_sub(began.elapsed());
        if stop.is_set() {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        // poll(2) may end early or fail; the loop then waits again. Rounded up to a millisecond, or the last one would be a busy loop.
        let timeout = PollTimeout::try_from(left.saturating_add(Duration::from_millis(1)));
        let _ = poll(
            &mut [PollFd::new(stop.as_fd(), PollFlags::POLLIN)],
            timeout.unwrap_or(PollTimeout::MAX),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};

    use super::{
        super::tests::{right, self_test},
        *,
    };

    const INTERVAL: Duration = Duration::from_millis(20);
    const DEADLINE: Duration = Duration::from_secs(20);

    /// Shows all expected events to the observer, as a source that works would. Returns false if none are expected now.
    fn show_all(observer: &Observer) -> bool {
        let events: Vec<_> = match &*observer.state() {
            State::Observing(expectations) if !expectations.are_all_seen() => {
                expectations.expected.iter().map(right).collect()
            }
            _ => return false,
        };
        for event in &events {
            observer.observe(event);
        }
        true
    }

    #[test]
    fn failure_and_recovery_are_reported_once() {
        let (sender, reports) = mpsc::channel();
        let stop = Stop::new().unwrap();
        let observer = start(
            self_test(&["TCP over IPv4", "refused TCP"]),
            INTERVAL,
            stop.clone(),
            move |result| {
                let _ = sender.send(result);
            },
        )
        .unwrap();
        // The observer is shown nothing.
        let failures = reports.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert!(
            failures.contains("TCP over IPv4 to 127.0.0.1:"),
            "{failures}"
        );
        assert!(failures.contains("refused TCP to 127.0.0.1:"), "{failures}");
        let began = Instant::now();
        let report = loop {
            assert!(began.elapsed() < DEADLINE);
            show_all(&observer);
            if let Ok(report) = reports.try_recv() {
                break report;
            }
        };
        assert_eq!(report, Ok(()));
        // Five more runs: no report.
        let mut runs = 0;
        while runs < 5 {
            assert!(began.elapsed() < DEADLINE);
            runs += usize::from(show_all(&observer));
            thread::yield_now();
        }
        assert_eq!(reports.try_recv(), Err(TryRecvError::Empty));
        // Ends without a report, although the connections of the last run are not seen.
        stop.set();
        assert_eq!(
            reports.recv_timeout(DEADLINE),
            Err(RecvTimeoutError::Disconnected)
        );
    }

    #[test]
    fn events_that_arrive_while_connecting_count() {
        let observer = Observer::default();
        let mut self_test = self_test(&["TCP over IPv4"]);
        *observer.state() = State::Connecting(Vec::new());
        let expectations = self_test.run();
        observer.observe(&right(&expectations.expected[0]));
        for _ in 0..2 * MAX_EARLY_EVENTS {
            observer.observe(&Event::sample());
        }
        assert!(
            matches!(&*observer.state(), State::Connecting(early) if early.len() == MAX_EARLY_EVENTS)
        );
        let began = Instant::now();
        let expectations = observer.wait(expectations);
        assert_eq!(expectations.failures(), [""; 0]);
        assert!(began.elapsed() < REPORT_TIMEOUT);
        assert!(matches!(&*observer.state(), State::Idle));
    }
}
