//! Events of a container that has just been asked about: they wait for its name, for a moment.
//! All others go on; the events of one container stay in their order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::container::Containers;
use lightmon_event::Event;

/// Most events that wait; what comes beyond goes on without a name.
const MAX_HELD: usize = 4096;

/// How often to look whether a name has come, while there is something that waits for one.
const LOOK: Duration = Duration::from_millis(5);

/// Events that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Hold(VecDeque<Event>);

impl Hold {
    /// Passes the event on, or keeps it when its container's name is awaited.
    pub(super) fn pass(&mut self, event: Event, is_awaited: bool, events: &mut Vec<Event>) {
        if is_awaited && self.0.len() < MAX_HELD {
            self.0.push_back(event);
        } else {
            events.push(event);
        }
    }

    /// Lets those go on whose container has a name by now, or will have none soon enough.
    pub(super) fn release(&mut self, containers: &Containers, events: &mut Vec<Event>) {
        for _ in 0..self.0.len() {
            let Some(mut event) = self.0.pop_front() else {
                return;
            };
            let mut is_awaited = false;
            if let Some(container) = &mut event.container {
                (*container, is_awaited) = containers.ask(&container.id);
            }
            self.pass(event, is_awaited, events);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.0.is_empty()).then(|| Instant::now() + LOOK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lightmon_event::Container;
    use std::sync::Arc;

    impl Hold {
        fn take(&mut self, containers: &Containers, id: &str, pid: u32, events: &mut Vec<Event>) {
            let (container, is_awaited) = containers.ask(id);
            let event = Event {
                pid,
                container: Some(container),
                ..Event::sample()
            };
            self.pass(event, is_awaited, events);
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
    fn waits_for_the_name_and_keeps_its_order() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _questions = runtime.connect();
        let (mut hold, mut events) = (Hold::default(), Vec::new());
        runtime.tell(named("b"));
        for (id, pid) in [("a", 1), ("b", 2), ("a", 3)] {
            hold.take(&containers, id, pid, &mut events);
        }
        assert_eq!((pids(&events), hold.len()), (vec![2], 2));
        assert!(hold.due().is_some());
        runtime.tell(named("a"));
        hold.release(&containers, &mut events);
        assert_eq!((pids(&events), hold.len()), (vec![2, 1, 3], 0));
        let name = |event: &Event| event.container.as_ref().unwrap().name.clone();
        assert_eq!(name(&events[1]), Some(Arc::from("web")));
        assert!(hold.due().is_none());
    }

    #[test]
    fn goes_on_without_a_name_when_none_comes() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _questions = runtime.connect();
        let (mut hold, mut events) = (Hold::default(), Vec::new());
        let began = Instant::now();
        hold.take(&containers, "a", 1, &mut events);
        assert_eq!(hold.len(), 1);
        while hold.len() > 0 {
            std::thread::sleep(LOOK);
            hold.release(&containers, &mut events);
        }
        assert!(began.elapsed() >= Duration::from_millis(100));
        assert_eq!(events[0].container.as_ref().unwrap().name, None);
        // It was asked for once: the next one does not wait again.
        hold.take(&containers, "a", 2, &mut events);
        assert_eq!(pids(&events), [1, 2]);
    }

    #[test]
    fn nobody_to_ask_nothing_to_wait_for() {
        let containers = Containers::new();
        let (mut hold, mut events) = (Hold::default(), Vec::new());
        hold.take(&containers, "a", 1, &mut events);
        assert_eq!(pids(&events), [1]);
    }

    #[test]
    fn what_finds_no_room_goes_on() {
        let containers = Containers::new();
        let runtime = containers.runtime();
        let _questions = runtime.connect();
        let (mut hold, mut events) = (Hold::default(), Vec::new());
        for pid in 0..=MAX_HELD as u32 {
            hold.take(&containers, "a", pid, &mut events);
        }
        assert!(hold.len() <= MAX_HELD && !events.is_empty());
    }
}
