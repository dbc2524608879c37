use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    thread,
};

use super::{super::report::State, *};

#[test]
fn layouts() {
    let [v1, v2, other] = [
        "cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n",
        "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n",
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup2 /x tmpfs rw 0 0\nnonsense\n",
    ];
    for (mounts, state, found) in [
        (v2.to_owned(), State::Fine, "version 2:"),
        (format!("{other}{v1}"), State::Degraded, "version 1"),
        (format!("{v1}{other}{v2}"), State::Degraded, "hybrid"),
        (other.to_owned(), State::Degraded, "not mounted"),
        (String::new(), State::Degraded, "not mounted"),
    ] {
        let check = layout(&mounts);
        assert_eq!(check.state, state, "{mounts}");
        assert!(check.found.starts_with(found), "{check:?}");
    }
}

#[test]
fn a_docker_that_nobody_has_promised_may_be_absent() {
    let state = |host, answer| of_docker(host, &answer).state;
    let host = Some("unix:///x");
    assert_eq!(state(None, Answer::Version("1".into())), State::Fine);
    assert_eq!(state(None, Answer::Absent), State::Fine);
    assert_eq!(state(host, Answer::Absent), State::Degraded);
    assert_eq!(state(None, Answer::Denied), State::Degraded);
    assert_eq!(state(None, Answer::Failed("x".into())), State::Degraded);
}

#[test]
fn other_runtimes_cost_names() {
    let podman = |answer| of_podman(Path::new("/run/p"), &answer, true);
    assert_eq!(podman(Answer::Absent), None);
    let check = podman(Answer::Version("5.0".into())).unwrap();
    assert_eq!(check.state, State::Degraded);
    assert!(check.todo.unwrap().contains("unix:///run/p"));
    let root = |answer, by_itself| of_podman(Path::new(PODMAN_SOCKET), &answer, by_itself);
    let state = |check: Option<Check>| check.unwrap().state;
    assert_eq!(
        state(root(Answer::Version("5.0".into()), true)),
        State::Fine
    );
    assert_eq!(state(root(Answer::Denied, true)), State::Degraded);
    assert_eq!(
        state(root(Answer::Version("5.0".into()), false)),
        State::Degraded
    );
}

#[test]
fn what_runs_pods_says_its_version_or_why_not() {
    let cri = |answer: Option<Answer>, is_given, is_docker| {
        let check = of_cri(Path::new("/x"), answer.as_ref(), is_given, is_docker);
        check.map(|check| (check.state, check.found))
    };
    let here = Some(Answer::Version("containerd 1.6".into()));
    let expect = (State::Fine, "answers at /x: containerd 1.6".into());
    assert_eq!(cri(here, false, false), Some(expect));
    assert_eq!(cri(Some(Answer::Absent), false, false), None);
    let state = |answer, is_given, is_docker| cri(answer, is_given, is_docker).unwrap().0;
    assert_eq!(state(Some(Answer::Absent), true, false), State::Degraded);
    assert_eq!(state(Some(Answer::Denied), false, true), State::Degraded);
    assert_eq!(state(None, false, true), State::Fine);
    assert_eq!(state(None, false, false), State::Degraded);
    assert_eq!(state(None, true, true), State::Degraded);
    let failed = Some(Answer::Failed("no answer".into()));
    let expect = (State::Degraded, "/x: no answer".into());
    assert_eq!(cri(failed, false, true), Some(expect));
}

#[test]
fn a_runtime_of_pods_that_does_not_answer_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap();
    let answer_of = || runtime.block_on(ask_cri(&socket));
    assert!(matches!(answer_of(), Some(Answer::Absent)));
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer_of();
    assert!(
        matches!(&answer, Some(Answer::Failed(error)) if error.contains("2s")),
        "{answer:?}"
    );
    // It hangs up on who is not HTTP/1.1, or says something that is not HTTP/2.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let answer = answer_of();
    assert!(matches!(&answer, Some(Answer::Failed(_))), "{answer:?}");
}

#[test]
fn only_unix_sockets_are_watched() {
    assert_eq!(watched(None), Some(DEFAULT_SOCKET.into()));
    assert_eq!(watched(Some("unix:///x")), Some("/x".into()));
    assert_eq!(watched(Some("/x")), Some("/x".into()));
    assert_eq!(watched(Some("tcp://10.0.0.1:2375")), None);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("socket").display().to_string();
    let checks = runtimes(Some("tcp://10.0.0.1:2375"), vec![missing.clone()]);
    assert_eq!(checks[0].state, State::Degraded, "{checks:?}");
    let last = checks.last().unwrap();
    let expected = format!("no socket at {missing}");
    assert_eq!(last.found, expected, "{checks:?}");
}

fn answer_of(socket: &Path) -> Answer {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(ask(socket))
}

#[test]
fn what_does_not_answer_does_not_hold_us_up() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    assert!(matches!(answer_of(&socket), Answer::Absent));
    // Listens, and says nothing.
    let listener = UnixListener::bind(&socket).unwrap();
    let begun = std::time::Instant::now();
    let answer = answer_of(&socket);
    assert!(
        matches!(&answer, Answer::Failed(error) if error.contains("2s")),
        "{answer:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    // Does not even listen any more.
    drop(listener);
    let answer = answer_of(&socket);
    assert!(
        matches!(&answer, Answer::Failed(error) if error.contains("refused")),
        "{answer:?}"
    );
}

#[test]
fn what_answers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Up to the empty line that ends the headers.
            let lines = BufReader::new(&stream).lines();
            lines.map_while(Result::ok).find(String::is_empty);
            let body = r#"{"ApiVersion":"1.41","Version":"5.0","Platform":{"Name":"Podman"}}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let answer = answer_of(&socket);
    assert!(
        matches!(&answer, Answer::Version(name) if name == "Podman 5.0"),
        "{answer:?}"
    );
}
