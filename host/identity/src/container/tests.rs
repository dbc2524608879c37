//! What the runtimes tell, and what is told of it.

use super::{
    names::{MAX_CONTAINERS, MAX_TEXT, PATIENCE},
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
fn told_renamed_ended() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    assert_eq!(*containers.by_id("a"), only_id("a"));
    runtime.tell(container("a", "web"));
    assert_eq!(*containers.by_id("a"), container("a", "web"));
    let before = containers.by_id("a");
    runtime.rename("a", "shop");
    assert_eq!(*containers.by_id("a"), container("a", "shop"));
    assert_eq!(before.name.as_deref(), Some("web"));
    runtime.rename("b", "nobody told about it");
    assert_eq!(*containers.by_id("b"), only_id("b"));
    runtime.end("a");
    assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
    // An answer that was late.
    runtime.tell(container("a", "shop"));
    let end = containers.names().entries["a"].ended.unwrap();
    containers
        .names()
        .forget(end + MEMORY - Duration::from_nanos(1));
    assert_eq!(name(&containers, "a").as_deref(), Some("shop"));
    containers.names().forget(end + MEMORY);
    assert_eq!(*containers.by_id("a"), only_id("a"));
}

#[test]
fn hint_is_believed_when_the_runtime_does_not_answer_in_time() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    runtime.hint(container("a", "web"));
    assert_eq!(
        name(&containers, "a").as_deref(),
        Some("web"),
        "nobody to ask"
    );
    let questions = runtime.connect();
    for id in ["b", "c"] {
        runtime.hint(container(id, "db"));
        let (found, is_awaited) = containers.ask(id);
        assert_eq!((&found.name, is_awaited), (&None, true));
    }
    // Each answer that is the last one has the name, however late it is and whoever has gone meanwhile.
    let is_known = |id| {
        let (found, is_awaited) = containers.ask(id);
        assert_eq!((found.name.as_deref(), is_awaited), (Some("db"), false));
    };
    let late = Instant::now().checked_sub(PATIENCE).unwrap();
    containers.names().entries.get_mut("b").unwrap().asked = Some(late);
    is_known("b");
    drop(questions);
    is_known("c");
    // What the runtime says is worth more, before and after.
    runtime.tell(container("b", "told"));
    runtime.hint(container("b", "db"));
    assert_eq!(name(&containers, "b").as_deref(), Some("told"));
}

#[test]
fn ended_is_forgotten_even_if_nothing_else_happens() {
    let containers = Containers::remembering(Duration::ZERO);
    let runtime = containers.runtime();
    runtime.tell(container("a", "web"));
    containers.names().entries.get_mut("a").unwrap().ended = Some(Instant::now());
    assert_eq!(*containers.by_id("a"), only_id("a"));
}

#[test]
fn addresses_are_of_what_runs() {
    let containers = Containers::new();
    containers.resolve_peers();
    let runtime = containers.runtime();
    let [a, b]: [IpAddr; 2] = ["172.17.0.2", "fd00::2"].map(|it| it.parse().unwrap());
    let at = |address| containers.at(address).and_then(|it| it.name.clone());
    runtime.locate("a", [a]);
    assert_eq!(containers.at(a), None, "nobody has told about it");
    runtime.tell(container("a", "web"));
    runtime.locate("a", [a, b]);
    assert_eq!([at(a), at(b)].map(|it| it.is_some()), [true, true]);
    runtime.locate("a", [b]);
    assert_eq!((at(a), at(b).as_deref()), (None, Some("web")));
    runtime.rename("a", "shop");
    assert_eq!(at(b).as_deref(), Some("shop"));
    runtime.tell(container("b", "db"));
    runtime.locate("b", [b]);
    runtime.locate("b", [b, IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(at(IpAddr::from([127, 0, 0, 1])), None, "everybody's");
    runtime.end("a");
    assert_eq!(at(b).as_deref(), Some("db"), "it has another's address");
    runtime.locate("a", [a, b]);
    assert_eq!(at(a), None, "an answer that was late");
    assert_eq!(at(b).as_deref(), Some("db"));
    runtime.list(vec![container("c", "new")]);
    assert_eq!(at(b), None, "the one that had it is not there any more");
}

#[test]
fn list_ends_what_is_not_on_it() {
    let containers = Containers::new();
    let (one, other) = (containers.runtime(), containers.runtime());
    for id in ["a", "b"] {
        one.tell(container(id, "web"));
    }
    other.tell(container("c", "web"));
    one.end("b");
    one.list(vec![container("b", "again"), container("d", "web")]);
    let mut names = containers.names();
    let ended: Vec<_> = ["a", "b", "c", "d"]
        .map(|id| names.entries[id].ended.is_some())
        .into();
    assert_eq!(ended, [true, false, false, false]);
    assert_eq!(names.get("b").0.name.as_deref(), Some("again"));
}

#[test]
fn asks_once_a_connection() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    // Nobody to ask.
    containers.by_id("a");
    let mut questions = runtime.connect();
    for _ in 0..3 {
        containers.by_id("a");
        containers.by_id("b");
    }
    assert_eq!(questions.try_recv().as_deref(), Ok("a"));
    assert_eq!(questions.try_recv().as_deref(), Ok("b"));
    assert!(questions.try_recv().is_err());
    runtime.tell(container("a", "web"));
    drop(questions);
    containers.by_id("c");
    let mut questions = runtime.connect();
    for id in ["a", "b", "c"] {
        containers.by_id(id);
    }
    assert_eq!(questions.try_recv().as_deref(), Ok("b"));
    assert_eq!(questions.try_recv().as_deref(), Ok("c"));
    assert!(questions.try_recv().is_err());
}

#[test]
fn question_that_found_no_room_is_asked_later() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    let mut questions = runtime.connect();
    for i in 0..=MAX_QUESTIONS {
        containers.by_id(&i.to_string());
    }
    assert_eq!(questions.try_recv().as_deref(), Ok("0"));
    let last = MAX_QUESTIONS.to_string();
    containers.by_id(&last);
    containers.by_id(&last);
    let rest: Vec<_> = std::iter::from_fn(|| questions.try_recv().ok()).collect();
    assert_eq!(rest.len(), MAX_QUESTIONS);
    assert_eq!(rest.last().unwrap().as_ref(), last);
}

#[test]
fn memory_is_bounded_under_churn() {
    let containers = Containers::new();
    let runtime = containers.runtime();
    runtime.tell(container("busy", "web"));
    for i in 0..4 * MAX_CONTAINERS {
        let id = i.to_string();
        runtime.tell(container(&id, "web"));
        if i % 3 > 0 {
            let mut names = containers.names();
            names.entries.get_mut(id.as_str()).unwrap().ended = Some(Instant::now());
        }
        containers.by_id(&format!("unknown {i}"));
        if i % 100 == 0 {
            assert_eq!(name(&containers, "busy").as_deref(), Some("web"));
        }
        assert!(containers.names().entries.len() <= MAX_CONTAINERS);
    }
}

#[test]
fn text_is_bounded_and_never_cut() {
    let long = "x".repeat(MAX_TEXT);
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
