//! Notices that wait to be written or logged: losses are summed up, and reported at most once a second.
//! Forgets no loss. Of all other notices it keeps the newest few, so that they can't fill the memory.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use lightmon_event::{Lost, LostIn, Notice, escape};

/// The shortest time between two reports of losses in one place.
pub(crate) const LOSS_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How many notices wait, losses apart.
const MAX_PENDING_NOTICES: usize = 16;

/// Notices that wait.
#[derive(Debug, Default)]
pub(crate) struct PendingNotices {
    kernel: Losses,
    output: Losses,
    others: VecDeque<Notice>,
}

/// Losses in one place since the last report.
#[derive(Debug, Default)]
struct Losses {
    sum: Option<Lost>,
    last_report: Option<Instant>,
}

impl PendingNotices {
    /// Adds a notice.
    pub(crate) fn add(&mut self, notice: Notice) {
        match notice {
            Notice::Lost { place, lost } => {
                let sum = &mut self.losses(place).sum;
                *sum = Some(sum.map_or(lost, |sum| add(sum, lost)));
            }
            other => {
                self.others.push_back(other);
                if self.others.len() > MAX_PENDING_NOTICES {
                    self.others.pop_front();
                }
            }
        }
    }

    /// Takes a notice that is due; at the end all are.
    pub(crate) fn take_due(&mut self, now: Instant, is_end: bool) -> Option<Notice> {
        if let Some(other) = self.others.pop_front() {
            return Some(other);
        }
        [LostIn::Kernel, LostIn::Output]
            .into_iter()
            .find_map(|place| {
                let losses = self.losses(place);
                if !is_end && losses.due().is_some_and(|due| now < due) {
                    return None;
                }
                let lost = losses.sum.take()?;
                losses.last_report = Some(now);
                Some(Notice::Lost { place, lost })
            })
    }

    /// When the next notice is due; `None` if none waits.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        if !self.others.is_empty() {
            return Some(now);
        }
        [&self.kernel, &self.output]
            .into_iter()
            .filter(|losses| losses.sum.is_some())
            .map(|losses| losses.due().unwrap_or(now))
            .min()
    }

    const fn losses(&mut self, place: LostIn) -> &mut Losses {
        match place {
            LostIn::Kernel => &mut self.kernel,
            LostIn::Output => &mut self.output,
        }
    }
}

impl Losses {
    /// When the next report may come; `None` before the first one.
    fn due(&self) -> Option<Instant> {
        self.last_report.map(|last| last + LOSS_REPORT_INTERVAL)
    }
}

/// Logs a notice on stderr.
pub(crate) fn log(notice: &Notice) {
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

/// Whether something is wrong. A change is worth a message, but not if the state changes back and forth quickly.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    is_wrong: bool,
    was_reported: bool,
    last_report: Option<Instant>,
}

impl Alarm {
    /// Sets the current state. Returns whether to report it.
    pub(crate) fn set(&mut self, is_wrong: bool, now: Instant) -> bool {
        if mem::replace(&mut self.is_wrong, is_wrong) == is_wrong {
            return false;
        }
        if is_wrong {
            self.was_reported = self
                .last_report
                .is_none_or(|last| now >= last + LOSS_REPORT_INTERVAL);
            if self.was_reported {
                self.last_report = Some(now);
            }
            self.was_reported
        } else {
            mem::take(&mut self.was_reported)
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
    fn the_first_loss_is_reported_at_once_and_the_next_ones_as_a_sum() {
        let (mut pending, now) = (PendingNotices::default(), Instant::now());
        assert_eq!(pending.due(now), None);
        pending.add(lost(5, 1));
        assert_eq!(pending.due(now), Some(now));
        assert_eq!(pending.take_due(now, false), Some(lost(5, 1)));
        assert_eq!(pending.due(now), None);

        for second in [7, 6, 9] {
            pending.add(lost(second, 10));
            assert_eq!(
                pending.take_due(now + LOSS_REPORT_INTERVAL / 2, false),
                None
            );
        }
        assert_eq!(pending.due(now), Some(now + LOSS_REPORT_INTERVAL));
        let Some(Notice::Lost { place, lost: sum }) =
            pending.take_due(now + LOSS_REPORT_INTERVAL, false)
        else {
            panic!("nothing is due")
        };
        assert_eq!(
            (place, sum.connections, sum.processes),
            (LostIn::Kernel, 30, 3)
        );
        assert_eq!((sum.since.as_second(), sum.until.as_second()), (6, 9));

        pending.add(lost(10, 1));
        assert_eq!(
            pending.take_due(now + LOSS_REPORT_INTERVAL, true),
            Some(lost(10, 1))
        );
        assert_eq!(pending.take_due(now + LOSS_REPORT_INTERVAL, true), None);
    }

    #[test]
    fn losses_in_different_places_do_not_wait_for_each_other() {
        let (mut pending, now) = (PendingNotices::default(), Instant::now());
        pending.add(lost(5, 1));
        pending.take_due(now, false).unwrap();
        let Notice::Lost { lost, .. } = lost(6, 2) else {
            unreachable!()
        };
        let place = LostIn::Output;
        pending.add(Notice::Lost { place, lost });
        assert_eq!(
            pending.take_due(now, false),
            Some(Notice::Lost { place, lost })
        );
    }

    #[test]
    fn notices_cannot_fill_the_memory() {
        let mut pending = PendingNotices::default();
        for second in 0..100 {
            let time = Timestamp::from_second(second).unwrap();
            pending.add(Notice::Sighted { time });
        }
        let mut left = Vec::new();
        while let Some(notice) = pending.take_due(Instant::now(), false) {
            left.push(notice.time().as_second());
        }
        assert_eq!(left, (84..100).collect::<Vec<_>>());
    }

    #[test]
    fn an_alarm_that_flutters_is_reported_once_a_second() {
        let (mut alarm, now) = (Alarm::default(), Instant::now());
        assert!(!alarm.set(false, now));
        assert!(alarm.set(true, now) && !alarm.set(true, now));
        assert!(alarm.set(false, now) && !alarm.set(false, now));
        assert!(!alarm.set(true, now) && !alarm.set(false, now));
        assert!(alarm.set(true, now + LOSS_REPORT_INTERVAL));
        assert!(alarm.set(false, now + LOSS_REPORT_INTERVAL));
    }
}
