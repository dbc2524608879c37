//! The watcher with a fake daemon, which answers what the test says.

use lightmon_event::{Container, Event, Record};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::runtime;

use super::*;
use crate::Identity;

const A: &str = "3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100";

#[test]
fn a_daemon_with_two_paths_is_watched_once() {
    let folder = TempDir::new().unwrap();
    let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let given = [
        format!("unix://{}", link.display()),
        real.display().to_string(),
    ];
    assert_eq!(hosts(given.to_vec()), given[..1]);
    assert!(hosts(Vec::new()).contains(&DEFAULT_SOCKET.to_owned()));
}

/// A Docker daemon that answers what the test says. After it is dropped, nobody listens.
struct Fake {
    folder: TempDir,
    requests: mpsc::Receiver<(String, UnixStream)>,
}

impl Fake {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(&stream).lines();
                let Some(Ok(request)) = lines.next() else {
                    continue;
                };
                // Up to the empty line that ends the headers.
                lines.map_while(Result::ok).find(String::is_empty);
                if sender.send((request, stream)).is_err() {
                    return;
                }
            }
        });
        Self { folder, requests }
    }

    fn socket(&self) -> String {
        self.folder.path().join("socket").display().to_string()
    }

    /// The next request, which must be for this path.
    #[track_caller]
    fn expect(&self, path: &str) -> UnixStream {
        let deadline = Duration::from_secs(30);
        let (request, stream) = self.requests.recv_timeout(deadline).unwrap();
        assert!(request.contains(path), "{request} is not for {path}");
        stream
    }

    #[track_caller]
    fn answer(&self, path: &str, status: &str, body: &str) {
        answer(&self.expect(path), status, body);
    }

    /// Answers the first requests of a session, without containers. Returns the stream for the events.
    fn connect(&self) -> UnixStream {
        self.connect_with("[]")
    }

    /// As [`connect`](Self::connect), with this list of containers.
    fn connect_with(&self, list: &str) -> UnixStream {
        for _negotiation_then_runtime_name in 0..2 {
            self.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
        }
        self.answer("/containers/json?all=true", "200 OK", list);
        let events = self.expect("/events?since=");
        write!(&events, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        events
    }
}

fn answer(mut stream: &UnixStream, status: &str, body: &str) {
    // The watcher may have closed the connection.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
}

fn event(action: &str, name: &str) -> String {
    format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{A}","Attributes":{{"name":"{name}","image":"bb"}}}}}}"#
    ) + "\n"
}

fn inspection(name: &str) -> String {
    format!(
        r#"{{"Id":"{A}","Name":"/{name}","Config":{{"Image":"bb","Labels":{{"name":"label"}}}}}}"#
    )
}

/// Runs a watcher in the background until the returned runtime is dropped.
fn watching(containers: &Containers, socket: String) -> runtime::Runtime {
    background(watch(containers.clone(), socket))
}

fn background(task: impl Future<Output = ()> + Send + 'static) -> runtime::Runtime {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(task);
    runtime
}

#[track_caller]
fn wait(containers: &Containers, what: impl Fn(&Container) -> bool) {
    wait_for(containers, A, what);
}

#[track_caller]
fn wait_for(containers: &Containers, id: &str, what: impl Fn(&Container) -> bool) {
    let begun = Instant::now();
    while !what(&containers.by_id(id)) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            containers.by_id(id)
        );
        thread::yield_now();
    }
}

fn is_named(name: &str) -> impl Fn(&Container) -> bool {
    move |container| container.name.as_deref() == Some(name)
}

#[test]
fn a_late_answer_does_not_undo_a_rename() {
    let docker = Fake::start();
    let containers = Containers::new();
    let _watching = watching(&containers, docker.socket());
    let mut events = docker.connect();
    events.write_all(event("create", "old").as_bytes()).unwrap();
    let first = docker.expect("/json");
    wait(&containers, is_named("old"));
    events.write_all(event("rename", "new").as_bytes()).unwrap();
    wait(&containers, is_named("new"));
    answer(&first, "200 OK", &inspection("old"));
    let second = docker.expect("/json");
    assert_eq!(containers.by_id(A).name.as_deref(), Some("new"));
    assert_eq!(containers.by_id(A).labels, []);
    answer(&second, "200 OK", &inspection("new"));
    wait(&containers, |container| {
        container.labels == [("name".into(), "label".into())]
    });
    assert_eq!(containers.by_id(A).name.as_deref(), Some("new"));
}

/// A container is created, and connects before the first look-up is answered.
#[track_caller]
fn requested_twice(docker: &Fake, containers: &Containers) -> UnixStream {
    containers.cgroup_created(4711, format!("/docker/{A}").as_bytes());
    let first = docker.expect("/json");
    containers.by_id(A);
    first
}

#[test]
fn one_answer_serves_all_requests() {
    let docker = Fake::start();
    let containers = Containers::new();
    let _watching = watching(&containers, docker.socket());
    let _events = docker.connect();
    let first = requested_twice(&docker, &containers);
    answer(&first, "200 OK", &inspection("web"));
    wait(&containers, is_named("web"));
    assert!(docker.requests.try_recv().is_err(), "looked up twice");
}

#[test]
fn a_look_up_that_came_too_early_is_repeated() {
    let docker = Fake::start();
    let containers = Containers::new();
    let _watching = watching(&containers, docker.socket());
    let _events = docker.connect();
    let first = requested_twice(&docker, &containers);
    // Until the second request has come.
    thread::sleep(Duration::from_millis(100));
    answer(
        &first,
        "404 Not Found",
        r#"{"message":"No such container"}"#,
    );
    docker.answer(A, "200 OK", &inspection("web"));
    wait(&containers, is_named("web"));
}

#[test]
fn an_unknown_container_is_looked_up_once() {
    let docker = Fake::start();
    let containers = Containers::new();
    let _watching = watching(&containers, docker.socket());
    let mut events = docker.connect();
    let other = A.replace('f', "0");
    containers.by_id(&other);
    containers.by_id(&other);
    docker.answer(
        &other,
        "404 Not Found",
        r#"{"message":"No such container"}"#,
    );
    containers.by_id(&other);
    // The next look-up is for A. There is no second one for the other container.
    wait(&containers, |container| container.name.is_none());
    docker.answer(A, "200 OK", &inspection("web"));
    wait(&containers, is_named("web"));
    assert_eq!(containers.by_id(&other).name, None);
    // The stream breaks: the watcher connects again and lists all containers.
    events.write_all(b"{\n").unwrap();
    drop(events);
    docker.connect();
}

#[test]
fn an_event_before_the_list_waits_for_it() {
    let docker = Fake::start();
    let containers = Containers::new();
    let mut identity = Identity::new(containers.clone());
    let version = r#"{"ApiVersion":"1.41"}"#;
    let list =
        |id: &str, name: &str| format!(r#"[{{"Id":"{id}","Names":["/{name}"],"Image":"bb"}}]"#);

    // The watcher has not connected yet.
    let watcher = watch(containers.clone(), docker.socket());
    see(&mut identity, A);
    let _watching = background(watcher);
    let stream = docker.connect_with(&list(A, "web"));
    wait_for(&containers, A, is_named("web"));
    assert_eq!(released(&mut identity).as_deref(), Some("web"));

    // The daemon goes and comes back. A container on the list is not looked up.
    drop(stream);
    let asked = docker.expect("/version");
    let other = A.replace('f', "0");
    see(&mut identity, &other);
    answer(&asked, "200 OK", version);
    docker.answer("/version", "200 OK", version);
    let all = list(&other, "db");
    docker.answer("/containers/json?all=true", "200 OK", &all);
    docker.expect("/events?since=");
    wait_for(&containers, &other, is_named("db"));
    assert_eq!(released(&mut identity).as_deref(), Some("db"));
}

/// The first connection of a new container. Its event must wait.
#[track_caller]
fn see(identity: &mut Identity, id: &str) {
    let event = Event {
        cgroup_id: 4711,
        container: None,
        ..Event::sample()
    };
    let created = Record::Cgroup {
        id: event.cgroup_id,
        path: format!("/docker/{id}").into_bytes(),
    };
    let mut events = Vec::new();
    identity.apply([created, Record::Connection(event)], &mut events);
    assert_eq!((identity.held(), events.len()), (1, 0));
}

/// The name of the container in the event that has waited.
#[track_caller]
fn released(identity: &mut Identity) -> Option<Arc<str>> {
    let mut events = Vec::new();
    identity.apply([], &mut events);
    let [event] = &events[..] else {
        panic!("one event, not {events:?}");
    };
    event.container.as_ref()?.name.clone()
}

#[test]
fn invalid_answers_end_only_the_session() {
    let docker = Fake::start();
    let containers = Containers::new();
    let (reported, socket) = (containers.clone(), docker.socket());
    // As `watch`, without pauses.
    let _watching = background(async move {
        let runtime = reported.runtime();
        loop {
            Attempt::new(socket.as_ref(), &runtime, None)
                .run(&Session)
                .await;
        }
    });
    docker.answer("/version", "500 Internal Server Error", "\x1b[31m");
    docker.answer("/version", "200 OK", "[]");
    docker.answer("/version", "200 OK", r#"{"ApiVersion":"new"}"#);
    drop(docker.expect("/version"));
    docker.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
    docker.answer("/version", "200 OK", r#"{"Components":[{}]}"#);
    docker.answer("/version", "200 OK", r#"{"ApiVersion":"1.41"}"#);
    docker.answer("/version", "200 OK", r#"{"Version":"1"}"#);
    docker.answer("/containers/json", "200 OK", r#"[{"Id":7}]"#);
    let mut events = docker.connect();
    events.write_all(b"{\"Type\":\"container\"}\n{\"Action\":\"create\",\"Actor\":{\"ID\":\"../x\"}}\n\xff\xfe\n").unwrap();
    let mut events = docker.connect();
    events.write_all(event("create", "web").as_bytes()).unwrap();
    wait(&containers, is_named("web"));
}

/// Only this thread becomes the user nobody (for access to files), also when root runs the test.
#[test]
fn permission_denied_is_recognised() {
    let docker = Fake::start();
    let socket = docker.socket();
    fs::set_permissions(docker.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    let results = thread::spawn(move || {
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
        let containers = Containers::new();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let is_denied = |socket: &str| {
            let watched = containers.runtime();
            let mut attempt = Attempt::new(socket.as_ref(), &watched, None);
            runtime.block_on(attempt.run(&Session)).is_permission()
        };
        [is_denied(&socket), is_denied(&format!("{socket}-missing"))]
    });
    assert_eq!(results.join().unwrap(), [true, false]);
}
