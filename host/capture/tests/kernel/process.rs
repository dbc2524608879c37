//! Processes: path, arguments and parent at the time of the connection, also of processes that end at once.

use std::{
    ffi::OsString,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::AsRawFd as _,
        unix::{ffi::OsStringExt as _, fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use lightmon_event::{Event, Outcome, Process, Provenance};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::monitor::{Monitor, assert_is_me, listen, unanswered_port};

fn bash() -> PathBuf {
    fs::canonicalize("/bin/bash").unwrap()
}

/// A script that connects with a redirection, so that bash itself connects.
fn connect_to(address: SocketAddr) -> String {
    format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port())
}

fn run(command: &mut Command) -> u32 {
    let mut child = command.spawn().unwrap();
    assert!(child.wait().unwrap().success());
    child.id()
}

fn args(process: &Process) -> Vec<&str> {
    process
        .args
        .as_deref()
        .unwrap_or_default()
        .iter()
        .map(|arg| &**arg)
        .collect()
}

/// Asserts that the event is of process `pid`, whose exec of `path` with these arguments was seen.
fn assert_ran(event: &Event, pid: u32, path: &Path, expect: &[&str]) {
    assert_eq!(event.pid, pid);
    assert_eq!(event.process.path.as_deref(), path.to_str());
    assert_eq!(args(&event.process), expect);
    assert!(!event.process.args_cut);
    assert_eq!(event.process.provenance, Some(Provenance::Exec));
}

/// A process that ends at once has path, arguments and parent: they come from its exec, not from /proc.
#[test]
#[ignore = "needs root: make test runs it"]
fn short_lived_processes() {
    let monitor = Monitor::start();
    let mut children = Vec::new();
    for i in 0..50u8 {
        let (listener, address) = listen(Ipv4Addr::new(127, 0, 7, i));
        let script = connect_to(address);
        let pid = run(Command::new("/bin/bash").args(["-c", &script, "an argument", ""]));
        children.push((listener, address, script, pid));
    }
    for (_listener, address, script, pid) in children {
        let event = monitor.to(address);
        let expect = ["/bin/bash", "-c", &script, "an argument", ""];
        assert_ran(&event, pid, &bash(), &expect);
        assert_eq!(event.process.parents[0].pid, std::process::id());
        assert!(event.process.parents[0].path.is_some());
        assert!(event.process.parents.len() > 1);
        assert!(event.process.started.unwrap() <= event.kernel_time);
        assert_eq!(&*event.comm, "bash");
    }
}

/// A subshell does not call exec, and ends at once. The second one connects after its parent has ended.
#[test]
#[ignore = "needs root: make test runs it"]
fn forks_without_exec() {
    let monitor = Monitor::start();
    for i in 0..20u8 {
        let (_listener, address) = listen(Ipv4Addr::new(127, 0, 8, i));
        let connect = connect_to(address);
        let is_orphan = i % 2 == 1;
        let script = if is_orphan {
            // The outer subshell ends at once. The inner one waits until it is an orphan.
            format!(
                "( ( until read -t 0 <&- 2>/dev/null || [ $(( ++i )) = 50 ]; do :; done; {connect} ) & ); wait"
            )
        } else {
            format!("( {connect} ); true")
        };
        let pid = run(Command::new("/bin/bash").args(["-c", &script]));
        let event = monitor.to(address);
        assert_ne!(event.pid, pid, "not the child of bash");
        assert_ran(&event, event.pid, &bash(), &["/bin/bash", "-c", &script]);
        if !is_orphan {
            assert_eq!(event.process.parents[0].pid, pid);
        }
    }
}

/// The process is reported as it was when it connected, not as it is when the outcome is known.
#[test]
#[ignore = "needs root: make test runs it"]
fn execs_after_connecting() {
    let monitor = Monitor::start();
    for i in 0..20u8 {
        let (_listener, address) = listen(Ipv4Addr::new(127, 0, 9, i));
        let script = format!("{}; exec /bin/bash -c 'exec true'", connect_to(address));
        let pid = run(Command::new("/bin/bash").args(["-c", &script]));
        let event = monitor.to(address);
        assert_ran(&event, pid, &bash(), &["/bin/bash", "-c", &script]);
    }
    // The outcome comes after three further execs.
    let (_deaf, _filler, address) = unanswered_port(&monitor);
    let script = format!(
        "{{ {}; }} & exec bash -c 'exec bash -c \"exec sleep 60\"'",
        connect_to(address)
    );
    let mut child = Command::new("/bin/bash")
        .args(["-c", &script])
        .spawn()
        .unwrap();
    let pending = monitor.to(address);
    assert_eq!(pending.outcome, Outcome::Pending);
    assert_ran(
        &pending,
        pending.pid,
        &bash(),
        &["/bin/bash", "-c", &script],
    );
    child.kill().unwrap();
    child.wait().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pending.pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let event = monitor.to(address);
    assert_eq!(event.outcome, Outcome::Aborted);
    assert_eq!(event.id(), pending.id());
    assert_eq!(event.process, pending.process);
}

/// The path is that of the interpreter. The script is one of the arguments.
#[test]
#[ignore = "needs root: make test runs it"]
fn scripts_are_run_by_their_interpreter() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let folder = tempfile::tempdir().unwrap();
    let script = executable(
        &folder.path().join("a script"),
        format!("#!/bin/bash -e\n{}\n", connect_to(address)).as_bytes(),
    );
    let pid = run(Command::new(&script).arg("x"));
    let event = monitor.to(address);
    let expect = ["/bin/bash", "-e", script.to_str().unwrap(), "x"];
    assert_ran(&event, pid, &bash(), &expect);
    assert_eq!(&*event.comm, "a script");
}

fn executable(path: &Path, content: &[u8]) -> PathBuf {
    // Written in a process of its own: a child that another test forks would inherit the open file, and exec would fail (ETXTBSY).
    let mut tee = Command::new("tee")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    tee.stdin.take().unwrap().write_all(content).unwrap();
    assert!(tee.wait().unwrap().success());
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// A running program whose file is deleted; a program in a memfd, which never had a file.
#[test]
#[ignore = "needs root: make test runs it"]
fn deleted_programs_and_memfds() {
    let monitor = Monitor::start();
    let folder = tempfile::tempdir().unwrap();
    let content = fs::read("/bin/bash").unwrap();
    let program = executable(&folder.path().join("program"), &content);
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let script = format!("rm {}; {}", program.display(), connect_to(address));
    let pid = run(Command::new(&program).args(["-c", &script]));
    // The file existed at the exec.
    let name = program.to_str().unwrap();
    assert_ran(&monitor.to(address), pid, &program, &[name, "-c", &script]);

    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let memfd = memfd_create("hidden", MFdFlags::empty()).unwrap();
    let mut file = fs::File::from(memfd);
    file.write_all(&content).unwrap();
    let script = connect_to(address);
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let pid = run(Command::new(&path).args(["-c", &script]));
    let event = monitor.to(address);
    let expect = [&path, "-c", &script];
    assert_ran(&event, pid, Path::new("/memfd:hidden (deleted)"), &expect);
}

/// Arguments are any bytes. If they are too long, they are cut and marked as cut.
#[test]
#[ignore = "needs root: make test runs it"]
fn long_and_binary_arguments() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let script = connect_to(address);
    let odd = OsString::from_vec(b"a\xff\n\x1b[31m".to_vec());
    let pid = run(Command::new("/bin/bash").args(["-c", &script]).arg(&odd));
    let expect = ["/bin/bash", "-c", &script, "a\u{fffd}\n\u{1b}[31m"];
    assert_ran(&monitor.to(address), pid, &bash(), &expect);

    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let script = connect_to(address);
    let long = "x".repeat(100_000);
    let pid = run(Command::new("/bin/bash").args(["-c", &script, &long]));
    let event = monitor.to(address);
    assert_eq!((event.pid, event.process.args_cut), (pid, true));
    let args = args(&event.process);
    assert_eq!(args[..3], ["/bin/bash", "-c", &script]);
    assert!(args[3].len() > 3000 && args[3].chars().all(|c| c == 'x'));
}

/// `comm` is the name of the thread; the process has its own name.
#[test]
#[ignore = "needs root: make test runs it"]
fn threads_have_the_process_of_their_leader() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    thread::Builder::new()
        .name("a-thread".to_owned())
        .spawn(move || {
            let _stream = TcpStream::connect(address).unwrap();
            let event = monitor.to(address);
            assert_is_me(&event);
            assert_eq!(&*event.comm, "a-thread");
            assert_ne!(event.tid, event.pid);
            let comm = fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!(&*event.process.comm, comm.trim_end());
        })
        .unwrap()
        .join()
        .unwrap();
}

/// A thread that calls exec becomes the leader: same pid, new program.
#[test]
#[ignore = "needs root: make test runs it"]
fn exec_of_a_thread() {
    let monitor = Monitor::start();
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let test = "process::thread_that_execs";
    let pid = run(Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored"])
        .stdout(Stdio::null())
        .env(EXEC, connect_to(address)));
    let event = monitor.to(address);
    assert_ran(
        &event,
        pid,
        &bash(),
        &["/bin/bash", "-c", &connect_to(address)],
    );
    assert_eq!(event.process.parents[0].pid, std::process::id());
}

const EXEC: &str = "LIGHTMON_TEST_EXEC";

/// Run by [`exec_of_a_thread`] in a process of its own: the harness has each test on a thread.
#[test]
#[ignore = "helps another test"]
fn thread_that_execs() {
    if let Some(script) = std::env::var_os(EXEC) {
        panic!("{}", Command::new("/bin/bash").arg("-c").arg(script).exec());
    }
}

/// A process that ran before the monitor was read from /proc at the start, so it may end as soon as it has connected.
#[test]
#[ignore = "needs root: make test runs it"]
fn older_processes() {
    let (_listener, address) = listen(Ipv4Addr::LOCALHOST);
    let folder = tempfile::tempdir().unwrap();
    let content = fs::read("/bin/bash").unwrap();
    let program = executable(&folder.path().join("older"), &content);
    let script = format!("echo; read; {}", connect_to(address));
    let mut child = Command::new(&program)
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    fs::remove_file(&program).unwrap();
    let monitor = Monitor::start();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(child.wait().unwrap().success());
    let event = monitor.to(address);
    let path = format!("{} (deleted)", program.display());
    assert_eq!(event.pid, child.id());
    assert_eq!(event.process.path.as_deref(), Some(&*path));
    let name = program.to_str().unwrap();
    assert_eq!(args(&event.process), [name, "-c", &script]);
    assert_eq!(event.process.provenance, Some(Provenance::Proc));
    assert_eq!(event.process.parents[0].pid, std::process::id());
}

/// Two processes with the same pid have their own programs and arguments.
#[test]
#[ignore = "needs root: make test runs it"]
fn pids_are_reused() {
    let monitor = Monitor::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = run(Command::new("/bin/bash").args(["-c", &connect_to(address), "first"]));
    // Other processes take pids, too: repeat until this test gets it.
    let mut reused = false;
    for i in 0..500 {
        fs::write("/proc/sys/kernel/ns_last_pid", (first - 1).to_string()).unwrap();
        let name = format!("again {i}");
        let script = connect_to(address);
        let mut child = Command::new("/bin/bash")
            .args(["-c", &format!("[ $$ != {first} ] || {script}"), &name])
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        if child.id() == first {
            let [one, two] = [monitor.to(address), monitor.to(address)];
            assert_eq!((one.pid, two.pid), (first, first));
            assert_eq!(args(&one.process).last(), Some(&"first"));
            assert_eq!(args(&two.process).last(), Some(&&*name));
            assert_ne!(one.process.started, two.process.started);
            reused = true;
            break;
        }
    }
    assert!(reused, "pid {first} was not reused");
}
