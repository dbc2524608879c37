//! Notices that wait to be said: losses add up meanwhile, and are said at most once a second.
//! Forgets no loss; of all else it keeps the newest few, so that nobody can fill the memory with it.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use lightmon_event::{Lost, LostIn, Notice, escape};

/// No two losses at one place are said within it.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Most that wait, losses apart.
const MOST: usize = 16;

/// The notices.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    kernel: Losses,
    output: Losses,
    others: VecDeque<Notice>,
}

/// Those at one place, since they were last said.
#[derive(Debug, Default)]
struct Losses {
    sum: Option<Lost>,
    said: Option<Instant>,
}

impl Waiting {
    /// One more.
    pub(super) fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Lost { place, lost } => {
                let sum = &mut self.losses(place).sum;
                *sum = Some(sum.map_or(lost, |sum| add(sum, lost)));
            }
            other => {
                self.others.push_back(other);
                if self.others.len() > MOST {
                    self.others.pop_front();
                }
            }
        }
    }

    /// Takes one that may be said now; at the end all may.
    pub(super) fn take(&mut self, now: Instant, end: bool) -> Option<Notice> {
        if let Some(other) = self.others.pop_front() {
            return Some(other);
        }
        [LostIn::Kernel, LostIn::Output]
            .into_iter()
            .find_map(|place| {
                let losses = self.losses(place);
                if !end && losses.said.is_some_and(|said| now < said + PAUSE) {
                    return None;
                }
                let lost = losses.sum.take()?;
                losses.said = Some(now);
                Some(Notice::Lost { place, lost })
            })
    }

    /// When the next may be said; none when none waits.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if !self.others.is_empty() {
            return Some(now);
        }
        [&self.kernel, &self.output]
            .into_iter()
            .filter(|losses| losses.sum.is_some())
            .map(|losses| losses.said.map_or(now, |said| said + PAUSE))
            .min()
    }

    const fn losses(&mut self, place: LostIn) -> &mut Losses {
        match place {
            LostIn::Kernel => &mut self.kernel,
            LostIn::Output => &mut self.output,
        }
    }
}

/// Says it on stderr.
pub(super) fn say(notice: &Notice) {
    tracing::warn!("{}", escape::Text(&notice.to_string()));
}

fn add(one: Lost, other: Lost) -> Lost {
    Lost {
        since: one.since.min(other.since),
        until: one.until.max(other.until),
        connections: one.connections.saturating_add(other.connections),
        processes: one.processes.saturating_add(other.processes),
    }
}

/// Whether something is wrong: worth a message when that changes, but not each time that it flutters.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    wrong: bool,
    told: bool,
    last: Option<Instant>,
}

impl Alarm {
    /// It is so now; whether to say it.
    pub(super) fn set(&mut self, wrong: bool, now: Instant) -> bool {
        if mem::replace(&mut self.wrong, wrong) == wrong {
            return false;
        }
        if wrong {
            self.told = self.last.is_none_or(|last| now >= last + PAUSE);
            if self.told {
                self.last = Some(now);
            }
            self.told
        } else {
            mem::take(&mut self.told)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn lost(second: i64, connections: u64) -> Notice {
        let at = Timestamp::from_second(second).unwrap();
        Notice::Lost {
            place: LostIn::Kernel,
            lost: Lost {
                since: at,
                until: at,
                connections,
                processes: 1,
            },
        }
    }

    #[test]
    fn the_first_loss_is_said_at_once_and_the_next_ones_as_a_sum() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        assert_eq!(waiting.due(now), None);
        waiting.add(lost(5, 1));
        assert_eq!(waiting.due(now), Some(now));
        assert_eq!(waiting.take(now, false), Some(lost(5, 1)));
        assert_eq!(waiting.due(now), None);

        for second in [7, 6, 9] {
            waiting.add(lost(second, 10));
            assert_eq!(waiting.take(now + PAUSE / 2, false), None);
        }
        assert_eq!(waiting.due(now), Some(now + PAUSE));
        let Some(Notice::Lost { place, lost: sum }) = waiting.take(now + PAUSE, false) else {
            panic!("nothing is due")
        };
        assert_eq!(
            (place, sum.connections, sum.processes),
            (LostIn::Kernel, 30, 3)
        );
        assert_eq!((sum.since.as_second(), sum.until.as_second()), (6, 9));

        waiting.add(lost(10, 1));
        assert_eq!(waiting.take(now + PAUSE, true), Some(lost(10, 1)));
        assert_eq!(waiting.take(now + PAUSE, true), None);
    }

    #[test]
    fn places_do_not_wait_for_each_other() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.add(lost(5, 1));
        waiting.take(now, false).unwrap();
        let Notice::Lost { lost, .. } = lost(6, 2) else {
            unreachable!()
        };
        let place = LostIn::Output;
        waiting.add(Notice::Lost { place, lost });
        assert_eq!(waiting.take(now, false), Some(Notice::Lost { place, lost }));
    }

    #[test]
    fn nobody_can_fill_the_memory() {
        let mut waiting = Waiting::default();
        for second in 0..100 {
            let time = Timestamp::from_second(second).unwrap();
            waiting.add(Notice::Sighted { time });
        }
        let mut left = Vec::new();
        while let Some(notice) = waiting.take(Instant::now(), false) {
            left.push(notice.time().as_second());
        }
        assert_eq!(left, (84..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_flutters_is_said_once_a_second() {
        let (mut alarm, now) = (Alarm::default(), Instant::now());
        assert!(!alarm.set(false, now));
        assert!(alarm.set(true, now) && !alarm.set(true, now));
        assert!(alarm.set(false, now) && !alarm.set(false, now));
        assert!(!alarm.set(true, now) && !alarm.set(false, now));
        assert!(alarm.set(true, now + PAUSE));
        assert!(alarm.set(false, now + PAUSE));
    }
}
