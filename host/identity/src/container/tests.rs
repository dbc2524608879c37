//! What the runtimes report, and what the identity stage gets of it.

use std::time::Instant;

use super::{
    runtime::MAX_REQUESTS,
    table::{MAX_CONTAINERS, MAX_TEXT_BYTES, NAME_TIMEOUT, bounded},
    *,
};

fn container(id: &str, name: &str) -> Container {
    Container {
        id: id.into(),
        name: Some(name.into()),
        image: Some("nginx:1.27".into()),
        labels: vec![("app".into(), "web".into())],
        ..Container::default()
    }
}

fn name(containers: &Containers, id: &str) -> Option<String> {
    containers.by_id(id).name.as_deref().map(str::to_owned)
}

#[test]
fn a_container_is_reported_renamed_and_removed() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    assert_eq!(*containers.by_id("a"), only_id("a"));
    runtime.report(container("a", "web"));
    assert_eq!(*containers.by_id("a"), container("a", "web"));
    let before = containers.by_id("a");
    runtime.rename("a", "shop");
    assert_eq!(*containers.by_id("a"), container("a", "shop"));
    assert_eq!(before.name.as_deref(), Some("web"));
    runtime.rename("b", "never reported");
    assert_eq!(*containers.by_id("b"), only_id("b"));
    runtime.removed("a");
    assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
    // An answer that comes late.
    runtime.report(container("a", "shop"));
    let end = containers.table().entries["a"].ended_at.unwrap();
    containers
        .table()
        .forget_ended(end + ENDED_RETENTION - Duration::from_nanos(1));
    assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
    containers.table().forget_ended(end + ENDED_RETENTION);
    assert_eq!(*containers.by_id("a"), only_id("a"));
}

#[test]
fn a_hint_is_used_if_the_runtime_does_not_answer_in_time() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    runtime.hint(container("a", "web"));
    assert_eq!(
        name(&containers, "a").as_deref(),
        Some("web"),
        "no runtime to ask"
    );
    let requests = runtime.open_requests();
    for id in ["b", "c"] {
        runtime.hint(container(id, "db"));
        let (found, name_may_come) = containers.request(id);
        assert_eq!((&found.name, name_may_come), (&None, true));
    }
    // When no answer can come any more, because of the timeout or because the runtime is gone, the hint is used.
    let is_known = |id| {
        let (found, name_may_come) = containers.request(id);
        assert_eq!((found.name.as_deref(), name_may_come), (Some("db"), false));
    };
    let late = Instant::now().checked_sub(NAME_TIMEOUT).unwrap();
    containers
        .table()
        .entries
        .get_mut("b")
        .unwrap()
        .requested_at = Some(late);
    is_known("b");
    drop(requests);
    is_known("c");
    // A report replaces the hint, and no later hint replaces the report.
    runtime.report(container("b", "reported"));
    runtime.hint(container("b", "db"));
    assert_eq!(name(&containers, "b").as_deref(), Some("reported"));
}

#[test]
fn an_ended_container_is_forgotten_even_if_nothing_else_happens() {
    let containers = Containers::remembering(Duration::ZERO);
    let runtime = containers.runtime();
    runtime.report(container("a", "web"));
    containers.table().entries.get_mut("a").unwrap().ended_at = Some(Instant::now());
    assert_eq!(*containers.by_id("a"), only_id("a"));
}

#[test]
fn only_running_containers_have_addresses() {
    let containers = Containers::new();
    containers.resolve_peers();
    let runtime = containers.runtime();
    let [a, b]: [IpAddr; 2] = ["172.17.0.2", "fd00::2"].map(|it| it.parse().unwrap());
    let at = |address| containers.at(address).and_then(|it| it.name.clone());
    runtime.set_addresses("a", [a]);
    assert_eq!(containers.at(a), None, "not reported");
    runtime.report(container("a", "web"));
    runtime.set_addresses("a", [a, b]);
    assert_eq!([at(a), at(b)].map(|it| it.is_some()), [true, true]);
    runtime.set_addresses("a", [b]);
    assert_eq!((at(a), at(b).as_deref()), (None, Some("web")));
    runtime.rename("a", "shop");
    assert_eq!(at(b).as_deref(), Some("shop"));
    runtime.report(container("b", "db"));
    runtime.set_addresses("b", [b]);
    runtime.set_addresses("b", [b, IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(
        at(IpAddr::from([127, 0, 0, 1])),
        None,
        "every container has it"
    );
    runtime.removed("a");
    assert_eq!(
        at(b).as_deref(),
        Some("db"),
        "the address belongs to another container now"
    );
    runtime.set_addresses("a", [a, b]);
    assert_eq!(at(a), None, "an answer that comes late");
    assert_eq!(at(b).as_deref(), Some("db"));
    runtime.report_all(vec![container("c", "new")]);
    assert_eq!(at(b), None, "its container is gone");
}

#[test]
fn a_container_that_is_not_listed_has_ended() {
    let containers = Containers::new();
    let (one, other) = (containers.runtime(), containers.runtime());
    for id in ["a", "b"] {
        one.report(container(id, "web"));
    }
    other.report(container("c", "web"));
    one.removed("b");
    one.report_all(vec![container("b", "again"), container("d", "web")]);
    let mut table = containers.table();
    let ended: Vec<_> = ["a", "b", "c", "d"]
        .map(|id| table.entries[id].ended_at.is_some())
        .into();
    assert_eq!(ended, [true, false, false, false]);
    assert_eq!(table.get("b").0.name.as_deref(), Some("again"));
}

#[test]
fn a_runtime_is_asked_once_while_it_is_connected() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    // No runtime to ask.
    containers.by_id("a");
    let mut requests = runtime.open_requests();
    for _ in 0..3 {
        containers.by_id("a");
        containers.by_id("b");
    }
    assert_eq!(requests.try_recv().as_deref(), Ok("a"));
    assert_eq!(requests.try_recv().as_deref(), Ok("b"));
    assert!(requests.try_recv().is_err());
    runtime.report(container("a", "web"));
    drop(requests);
    containers.by_id("c");
    let mut requests = runtime.open_requests();
    for id in ["a", "b", "c"] {
        containers.by_id(id);
    }
    assert_eq!(requests.try_recv().as_deref(), Ok("b"));
    assert_eq!(requests.try_recv().as_deref(), Ok("c"));
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_request_that_finds_no_room_is_sent_later() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    let mut requests = runtime.open_requests();
    for i in 0..=MAX_REQUESTS {
        containers.by_id(&i.to_string());
    }
    assert_eq!(requests.try_recv().as_deref(), Ok("0"));
    let last = MAX_REQUESTS.to_string();
    containers.by_id(&last);
    containers.by_id(&last);
    let rest: Vec<_> = std::iter::from_fn(|| requests.try_recv().ok()).collect();
    assert_eq!(rest.len(), MAX_REQUESTS);
    assert_eq!(rest.last().unwrap().as_ref(), last);
}

#[test]
fn the_table_is_bounded_under_churn() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    runtime.report(container("busy", "web"));
    for i in 0..4 * MAX_CONTAINERS {
        let id = i.to_string();
        runtime.report(container(&id, "web"));
        if i % 3 > 0 {
            let mut table = containers.table();
            table.entries.get_mut(id.as_str()).unwrap().ended_at = Some(Instant::now());
        }
        containers.by_id(&format!("unknown {i}"));
        if i % 100 == 0 {
            assert_eq!(name(&containers, "busy").as_deref(), Some("web"));
        }
        assert!(containers.table().entries.len() <= MAX_CONTAINERS);
    }
}

#[test]
fn long_texts_are_left_out_and_never_cut() {
    let long = "x".repeat(MAX_TEXT_BYTES);
    let label = |key: &str, value: &str| (key.into(), value.into());
    let bounded = bounded(Container {
        id: "a".into(),
        name: Some("web".into()),
        image: Some(long.as_str().into()),
        labels: vec![label("a", "1"), label("b", &long), label("c", "3")],
        ..Container::default()
    });
    assert_eq!(bounded.name.as_deref(), Some("web"));
    assert_eq!(bounded.image, None);
    assert_eq!(bounded.labels, [label("a", "1"), label("c", "3")]);
}

fn only_id(id: &str) -> Container {
    Container {
        id: id.into(),
        ..Container::default()
    }
}
