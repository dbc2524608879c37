//! Flies the canary again and again beside the monitor, and tells when it was not seen. On a thread of its own, so that it
//! tells also when nothing arrives any more.

use std::{
    io, mem,
    os::fd::AsFd as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Expectations, SelfTest};
use lightmon_event::Event;
use lightmon_thread::{Stop, privileges};

/// How long the connections of one attempt may take to be seen.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Most events that are kept while the canary flies: it makes a handful, and lightmon few others.
const MAX_KEPT: usize = 64;

/// What sees lightmon's own connections: whoever reads the source shows them to it.
#[derive(Clone, Debug, Default)]
pub struct Observer(Arc<(Mutex<Round>, Condvar)>);

#[derive(Debug, Default)]
enum Round {
    #[default]
    Resting,
    /// The connections are made: what arrives meanwhile is compared afterwards.
    Flying(Vec<Event>),
    Waiting(Expectations),
}

impl Observer {
    /// Compares an event with what was flown.
    pub fn saw(&self, event: &Event) {
        match &mut *self.round() {
            Round::Resting => {}
            Round::Flying(kept) if kept.len() < MAX_KEPT => kept.push(event.clone()),
            Round::Flying(_) => {}
            Round::Waiting(expectations) => {
                if expectations.saw(event) && expectations.are_all_seen() {
                    self.0.1.notify_one();
                }
            }
        }
    }

    /// Flies, and waits until all was seen or [`PATIENCE`] is over.
    fn watch(&self, canary: &mut SelfTest) -> Expectations {
        *self.round() = Round::Flying(Vec::new());
        self.wait(canary.run())
    }

    fn wait(&self, mut expectations: Expectations) -> Expectations {
        let mut round = self.round();
        if let Round::Flying(kept) = &*round {
            for event in kept {
                expectations.saw(event);
            }
        }
        *round = Round::Waiting(expectations);
        let is_incomplete = |round: &mut Round| matches!(round, Round::Waiting(expectations) if !expectations.are_all_seen());
        let waited = self.0.1.wait_timeout_while(round, PATIENCE, is_incomplete);
        let (mut round, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match mem::take(&mut *round) {
            Round::Waiting(expectations) => expectations,
            Round::Resting | Round::Flying(_) => {
                unreachable!("invariant: only this thread changes rounds")
            }
        }
    }

    /// A thread that has panicked leaves a round that is good enough to compare with.
    fn round(&self) -> MutexGuard<'_, Round> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flies at once and then every `interval`, until `stop`. Tells what was not seen, and afterwards that all is seen again;
/// each once. A second or more between two attempts bounds how many sockets are kept (`PORT_REST`) to some dozens.
///
/// # Errors
/// When there can be no thread.
pub fn start(
    mut canary: SelfTest,
    interval: Duration,
    stop: Stop,
    mut tell: impl FnMut(Result<(), String>) + Send + 'static,
) -> io::Result<Observer> {
    let eye = Observer::default();
    let shown = eye.clone();
    thread::Builder::new()
        .name("canary".into())
        .spawn(move || {
            privileges::give_up_all_but(&[]);
            let (mut is_blind, mut skipped) = (false, Vec::new());
            loop {
                let begun = Instant::now();
                let expectations = eye.watch(&mut canary);
                // What is not seen any more because we end is no alarm.
                if stop.is_set() {
                    return;
                }
                if expectations.skipped() != skipped {
                    skipped = expectations.skipped().to_vec();
                    tracing::warn!(connections = skipped.join(", "), "canary not made");
                }
                let missing = expectations.missing();
                // Where none could be made, nothing is known.
                if expectations.made() > 0 && is_blind == missing.is_empty() {
                    is_blind = !is_blind;
                    tell(match is_blind {
                        true => Err(missing.join("; ")),
                        false => Ok(()),
                    });
                }
                if is_stopped_within(&stop, interval.saturating_sub(begun.elapsed())) {
                    return;
                }
            }
        })?;
    Ok(shown)
}

fn is_stopped_within(stop: &Stop, time: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let left = time.saturating_sub(begun.elapsed());
        if stop.is_set() {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        // An interrupted or impossible wait is looked at again above. Rounded up, or the last millisecond would be busy.
        let timeout = PollTimeout::try_from(left.saturating_add(Duration::from_millis(1)));
        let _ = poll(
            &mut [PollFd::new(stop.as_fd(), PollFlags::POLLIN)],
            timeout.unwrap_or(PollTimeout::MAX),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{
        super::tests::{canary, right},
        *,
    };

    const INTERVAL: Duration = Duration::from_millis(20);
    const DEADLINE: Duration = Duration::from_secs(20);

    /// Shows what is expected just now, as a source that sees all would; false: the canary is not out.
    fn show_all(eye: &Observer) -> bool {
        let events: Vec<_> = match &*eye.round() {
            Round::Waiting(expectations) if !expectations.are_all_seen() => {
                expectations.expected.iter().map(right).collect()
            }
            _ => return false,
        };
        for event in &events {
            eye.saw(event);
        }
        true
    }

    #[test]
    fn blindness_is_told_once_and_its_end_too() {
        let (teller, told) = mpsc::channel();
        let stop = Stop::new().unwrap();
        let eye = start(
            canary(&["TCP over IPv4", "refused TCP"]),
            INTERVAL,
            stop.clone(),
            move |sight| {
                let _ = teller.send(sight);
            },
        )
        .unwrap();
        // Nothing is shown to it.
        let blind = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert!(blind.contains("TCP over IPv4 to 127.0.0.1:"), "{blind}");
        assert!(blind.contains("refused TCP to 127.0.0.1:"), "{blind}");
        let begun = Instant::now();
        let sight = loop {
            assert!(begun.elapsed() < DEADLINE);
            show_all(&eye);
            if let Ok(sight) = told.try_recv() {
                break sight;
            }
        };
        assert_eq!(sight, Ok(()));
        // Five more rounds: no news.
        let mut rounds = 0;
        while rounds < 5 {
            assert!(begun.elapsed() < DEADLINE);
            rounds += usize::from(show_all(&eye));
            thread::yield_now();
        }
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        // It ends without a word, although the last round can't be seen.
        stop.set();
        assert_eq!(
            told.recv_timeout(DEADLINE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }

    #[test]
    fn what_is_shown_while_it_flies_is_not_forgotten() {
        let eye = Observer::default();
        let mut canary = canary(&["TCP over IPv4"]);
        *eye.round() = Round::Flying(Vec::new());
        let expected = canary.run();
        eye.saw(&right(&expected.expected[0]));
        for _ in 0..2 * MAX_KEPT {
            eye.saw(&Event::sample());
        }
        assert!(matches!(&*eye.round(), Round::Flying(kept) if kept.len() == MAX_KEPT));
        let begun = Instant::now();
        let expected = eye.wait(expected);
        assert_eq!(expected.missing(), [""; 0]);
        assert!(begun.elapsed() < PATIENCE);
        assert!(matches!(&*eye.round(), Round::Resting));
    }
}
