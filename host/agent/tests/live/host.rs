//! The binary on the real kernel, with the programs that people use: each connection comes out once, with the right
//! process, ends and outcome, and the summary adds up. Looks only at destinations of its own.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    process::{Command, Stdio},
};

use crate::lightmon::{Ended, Lightmon, command};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// The program that a command ends up as, links and version managers followed.
fn program(name: &str) -> String {
    let python = "python3 -c 'import os; print(os.readlink(\"/proc/self/exe\"))'";
    let other = format!("readlink -f \"$(command -v {name})\"");
    let script = if name == "python3" { python } else { &other };
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn spawn(name: &str, args: &[&str]) -> u32 {
    let mut child = Command::new(name)
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

fn check(event: &Value, pid: u32, name: &str, args: &[&str], protocol: &str, outcome: &str) {
    assert_eq!(event["pid"], pid, "{event}");
    assert_eq!(event["procPath"], program(name), "{event}");
    assert_eq!(
        event["procArgs"].as_array().unwrap()[1..],
        args.iter().map(|arg| Value::from(*arg)).collect::<Vec<_>>()[..],
        "{event}"
    );
    assert_eq!(event["user"], "root", "{event}");
    assert_eq!(event["container"], "", "{event}");
    assert_eq!(event["protocol"], protocol, "{event}");
    assert_eq!(event["outcome"], outcome, "{event}");
    assert_eq!(event["parents"][0]["pid"], std::process::id(), "{event}");
    assert_ne!(event["sport"], 0, "{event}");
}

#[test]
#[ignore = "needs root: make test runs it"]
fn each_connection_once_with_the_right_process() {
    let lightmon = Lightmon::start(&["-f", "json"]);
    let v4 = TcpListener::bind((Ipv4Addr::new(127, 0, 9, 1), 0)).unwrap();
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::new(127, 0, 9, 2), 0)).unwrap();
    let [v4, v6, udp] =
        [v4.local_addr(), v6.local_addr(), udp.local_addr()].map(|address| address.unwrap().port());
    // No socket is bound to 127.0.9.3, which only this test uses.
    let closed = 9;

    let v4_text = v4.to_string();
    let args = ["-z", "127.0.9.1", &v4_text];
    let pid = spawn("nc", &args);
    let event = lightmon.event_to("127.0.9.1", v4);
    check(&event, pid, "nc", &args, "tcp", "established");
    assert_eq!(
        (&event["addressFamily"], &event["saddr"]),
        (&"AF_INET".into(), &"127.0.0.1".into())
    );

    let script = format!("import socket; socket.create_connection(('::1', {v6}))");
    let args = ["-c", script.as_str()];
    let pid = spawn("python3", &args);
    let event = lightmon.event_to("::1", v6);
    check(&event, pid, "python3", &args, "tcp", "established");
    assert_eq!(
        (&event["addressFamily"], &event["saddr"]),
        (&"AF_INET6".into(), &"::1".into())
    );

    let args = ["-s", "http://127.0.9.3:9/"];
    let pid = spawn("curl", &args);
    let event = lightmon.event_to("127.0.9.3", closed);
    check(&event, pid, "curl", &args, "tcp", "refused");
    assert_eq!(
        (&event["errno"], &event["error"]),
        (&111.into(), &"ECONNREFUSED".into())
    );

    let udp_text = udp.to_string();
    let args = ["-u", "-z", "127.0.9.2", &udp_text];
    let pid = spawn("nc", &args);
    check(
        &lightmon.event_to("127.0.9.2", udp),
        pid,
        "nc",
        &args,
        "udp",
        "connected",
    );

    let ended = lightmon.stop(Signal::SIGTERM);
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.messages);
    let mine = [
        ("127.0.9.1", v4),
        ("::1", v6),
        ("127.0.9.3", closed),
        ("127.0.9.2", udp),
    ];
    let twice: Vec<_> = ended
        .lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| {
            mine.iter()
                .any(|(daddr, dport)| event["daddr"] == *daddr && event["dport"] == *dport)
        })
        .collect();
    assert_eq!(twice, [] as [Value; 0]);
    let balance = ended.balance();
    assert!(balance.written >= 4);
    assert_eq!(balance.lost, 0);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn excluded_connections_are_counted_and_sigint_ends() {
    let lightmon = Lightmon::start(&[
        "-f",
        "json",
        "-exclude",
        "dip='127.0.10.1'; dip='127.0.10.3' && keyword='nc'",
    ]);
    for _ in 0..3 {
        spawn("nc", &["-z", "127.0.10.1", "9"]);
    }
    for _ in 0..2 {
        spawn("nc", &["-z", "127.0.10.3", "9"]);
    }
    spawn("nc", &["-z", "127.0.10.2", "9"]);
    lightmon.event_to("127.0.10.2", 9);
    let ended = lightmon.stop(Signal::SIGINT);
    assert_eq!(ended.status.code(), Some(0));
    let balance = ended.balance();
    assert_eq!((balance.excluded, balance.excluded_kernel), (5, 3));
    assert!(balance.seen >= 6 && balance.dropped == 0);
    for excluded in ["127.0.10.1\"", "127.0.10.3\""] {
        assert!(ended.lines.iter().all(|line| !line.contains(excluded)));
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn count_and_duration_end_lightmon() {
    let counted = Lightmon::start(&[
        "-f",
        "json",
        "--count",
        "2",
        "--exclude",
        "dip='0.0.0.0/1' || dip='128.0.0.0/1'",
        "--exclude",
        "keyword='not-me'",
    ]);
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for _ in 0..4 {
        std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    }
    let ended = counted.wait();
    assert_eq!(
        (
            ended.status.code(),
            ended.balance().written,
            ended.lines.len()
        ),
        (Some(0), 2, 2)
    );

    let ended = Lightmon::start(&["--duration", "100ms"]).wait();
    assert_eq!(ended.status.code(), Some(0));
    ended.balance();
}

/// The log's lines as the original's users parse them, in a file of --log-path.
#[test]
#[ignore = "needs root: make test runs it"]
fn log_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let lightmon = Lightmon::start(&["-log_path", folder.path().to_str().unwrap()]);
    let pid = spawn("nc", &["-z", "127.0.11.1", "9"]);
    let deadline = std::time::Instant::now() + crate::lightmon::DEADLINE;
    let line = loop {
        let files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let text = files
            .first()
            .map_or(String::new(), |file| std::fs::read_to_string(file).unwrap());
        if let Some(line) = text.lines().find(|line| line.contains("\"127.0.11.1\"")) {
            assert!(
                files[0]
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("lightmon.log.20")
            );
            break line.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::yield_now();
    };
    let event: Value = serde_json::from_str(&line).unwrap();
    for (key, value) in [
        ("dip", "127.0.11.1"),
        ("dport", "9"),
        ("level", "info"),
        ("user", "root"),
        ("msg", ""),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    assert_eq!(event["pid"], pid.to_string());
    assert_eq!(event["procArgs"], "-z 127.0.11.1 9");
    assert_eq!(event["ipv6"], 0);
    assert_eq!(lightmon.stop(Signal::SIGTERM).lines, [] as [String; 0]);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_closed_stdout_ends_lightmon() {
    let mut child = command(&["-f", "json", "--exclude", "keyword='other'"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let deadline = std::time::Instant::now() + crate::lightmon::DEADLINE;
    while child.try_wait().unwrap().is_none() {
        spawn("nc", &["-z", "127.0.12.1", "9"]);
        assert!(std::time::Instant::now() < deadline);
    }
    let output = child.wait_with_output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{messages}");
    let ended = Ended {
        status: output.status,
        lines: Vec::new(),
        messages: messages.lines().map(str::to_owned).collect(),
    };
    let balance = ended.balance();
    assert!(balance.written == 0 && balance.lost > 0, "{messages}");
    assert!(
        messages.ends_with(
            "lightmon: the reader of standard output has gone; what it did not take is lost\n"
        ),
        "{messages}"
    );
}

/// Nobody reads stdout: events that are not written are counted, also those in the ring buffer.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_stalled_reader_causes_no_hang_and_no_wrong_count() {
    const MANY: u64 = 3000;
    let mut child = command(&["-f", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(messages.any(|line| line.unwrap().contains("watching")));
    let peer = UdpSocket::bind((Ipv4Addr::new(127, 0, 14, 1), 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..MANY {
        socket.connect(address).unwrap();
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let messages: Vec<_> = messages.map(Result::unwrap).collect();
    let ended = Ended {
        status: child.wait().unwrap(),
        lines: Vec::new(),
        messages,
    };
    assert_eq!(ended.status.code(), Some(1), "{:#?}", ended.messages);
    let balance = ended.balance();
    assert!(
        balance.seen >= MANY && balance.lost > 0,
        "{:#?}",
        ended.messages
    );
}

/// The binary where everybody may run it: the build's folder may be root's alone.
fn for_everybody() -> (tempfile::TempDir, std::path::PathBuf) {
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    let folder = tempfile::Builder::new()
        .permissions(everybody)
        .tempdir()
        .unwrap();
    let copy = folder.path().join("lightmon");
    std::fs::copy(env!("CARGO_BIN_EXE_lightmon"), &copy).unwrap();
    (folder, copy)
}

/// Returns the command `setpriv` for the user nobody with these capabilities.
fn with_capabilities(capabilities: &str) -> (tempfile::TempDir, Command) {
    let (folder, lightmon) = for_everybody();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args([
            format!("--inh-caps=-all{capabilities}"),
            format!("--ambient-caps=-all{capabilities}"),
        ])
        .arg(lightmon)
        .args(["-f", "json"])
        .current_dir("/");
    (folder, command)
}

#[test]
#[ignore = "needs root: make test runs it"]
fn missing_capabilities_give_one_line() {
    for capabilities in ["", ",+bpf", ",+bpf,+perfmon"] {
        let (_folder, mut command) = with_capabilities(capabilities);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message.lines().count(), 1, "{message}");
        let expected = "lightmon: not allowed to load eBPF programs: run as root";
        assert!(message.starts_with(expected), "{capabilities}: {message}");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn four_capabilities_suffice() {
    let (_folder, command) = with_capabilities(",+bpf,+perfmon,+dac_read_search,+sys_ptrace");
    let lightmon = Lightmon::start_command(command);
    let pid = spawn("nc", &["-z", "127.0.15.1", "9"]);
    let event = lightmon.event_to("127.0.15.1", 9);
    check(
        &event,
        pid,
        "nc",
        &["-z", "127.0.15.1", "9"],
        "tcp",
        "refused",
    );
    assert_eq!(lightmon.stop(Signal::SIGTERM).status.code(), Some(0));
}
