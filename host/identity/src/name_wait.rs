//! Holds events back while a runtime is asked for the name of their container, for at most 100 ms.
//!
//! Only these events wait. The events of one container keep their order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use lightmon_event::Event;

use super::container::Containers;

/// Most events that wait. When there are more, they are passed on without a name.
const MAX_WAITING_EVENTS: usize = 4096;

/// How often to check whether a name has come, while events wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The events that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct NameWait(VecDeque<Event>);

impl NameWait {
    /// Passes the event on, or holds it back if the name of its container may still come.
    pub(super) fn pass(&mut self, event: Event, name_may_come: bool, events: &mut Vec<Event>) {
        if name_may_come && self.0.len() < MAX_WAITING_EVENTS {
            self.0.push_back(event);
        } else {
            events.push(event);
        }
    }

    /// Passes on the events whose container has a name now, or gets none in time.
    pub(super) fn release(&mut self, containers: &Containers, events: &mut Vec<Event>) {
        for _ in 0..self.0.len() {
            let Some(mut event) = self.0.pop_front() else {
                return;
            };
            let mut name_may_come = false;
            if let Some(container) = &mut event.container {
                (*container, name_may_come) = containers.request(&container.id);
            }
            self.pass(event, name_may_come, events);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When to check again.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.0.is_empty()).then(|| Instant::now() + CHECK_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lightmon_event::Container;

    use super::*;

    impl NameWait {
        fn connect(
            &mut self,
            containers: &Containers,
            id: &str,
            pid: u32,
            events: &mut Vec<Event>,
        ) {
            let (container, name_may_come) = containers.request(id);
            let event = Event {
                pid,
                container: Some(container),
                ..Event::sample()
            };
            self.pass(event, name_may_come, events);
        }
    }

    fn pids(events: &[Event]) -> Vec<u32> {
        events.iter().map(|event| event.pid).collect()
    }

    fn named(id: &str) -> Container {
        Container {
            id: id.into(),
            name: Some("web".into()),
            ..Container::default()
        }
    }

    #[test]
    fn events_wait_for_the_name_and_keep_their_order() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _requests = runtime.open_requests();
        let (mut wait, mut events) = (NameWait::default(), Vec::new());
        runtime.report(named("b"));
        for (id, pid) in [("a", 1), ("b", 2), ("a", 3)] {
            wait.connect(&containers, id, pid, &mut events);
        }
        assert_eq!((pids(&events), wait.len()), (vec![2], 2));
        assert!(wait.due().is_some());
        runtime.report(named("a"));
        wait.release(&containers, &mut events);
        assert_eq!((pids(&events), wait.len()), (vec![2, 1, 3], 0));
        let name = |event: &Event| event.container.as_ref().unwrap().name.clone();
        assert_eq!(name(&events[1]), Some(Arc::from("web")));
        assert!(wait.due().is_none());
    }

    #[test]
    fn an_event_is_passed_on_without_a_name_after_the_timeout() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _requests = runtime.open_requests();
        let (mut wait, mut events) = (NameWait::default(), Vec::new());
        let began = Instant::now();
        wait.connect(&containers, "a", 1, &mut events);
        assert_eq!(wait.len(), 1);
        while wait.len() > 0 {
            std::thread::sleep(CHECK_INTERVAL);
            wait.release(&containers, &mut events);
        }
        assert!(began.elapsed() >= Duration::from_millis(100));
        assert_eq!(events[0].container.as_ref().unwrap().name, None);
        // The runtime was asked once: the next event of this container does not wait again.
        wait.connect(&containers, "a", 2, &mut events);
        assert_eq!(pids(&events), [1, 2]);
    }

    #[test]
    fn no_event_waits_without_a_runtime() {
        let containers = Containers::new();
        let (mut wait, mut events) = (NameWait::default(), Vec::new());
        wait.connect(&containers, "a", 1, &mut events);
        assert_eq!(pids(&events), [1]);
    }

    #[test]
    fn an_event_that_finds_no_room_is_passed_on() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _requests = runtime.open_requests();
        let (mut wait, mut events) = (NameWait::default(), Vec::new());
        for pid in 0..=MAX_WAITING_EVENTS as u32 {
            wait.connect(&containers, "a", pid, &mut events);
        }
        assert!(wait.len() <= MAX_WAITING_EVENTS && !events.is_empty());
    }
}
