//! Under load, lightmon reports each connection exactly once and right. The load generator uses another address for each
//! connection, so a missing one is known exactly. Each test has destinations of its own.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// One test at a time: each wants the whole machine, and to each what the others do is noise.
static MACHINE: Mutex<()> = Mutex::new(());

/// lightmon, writing JSON to a file; killed when dropped.
struct Lightmon {
    child: Child,
    messages: Receiver<String>,
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Numbers of the exit summary. They count what others do on this machine, too.
#[derive(Debug)]
struct Balance {
    seen: u64,
    written: u64,
    lost: u64,
}

/// What `lightmon-load check` says. What is reported is right, or the check has failed.
#[derive(Debug)]
struct Verdict {
    made: u64,
    reported: u64,
    missing: u64,
}

impl Lightmon {
    /// Starts it, and waits until its hooks are attached.
    fn start() -> Self {
        let alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_lightmon"))
            .args(["-f", "json"])
            .current_dir("/")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("events")).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, messages) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        let lightmon = Self {
            child,
            messages,
            folder,
            _alone: alone,
        };
        lightmon.hear("watching");
        lightmon
    }

    /// Waits for a message on stderr.
    fn hear(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut heard = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) if message.contains(text) => return message,
                Ok(message) => heard.push(message),
                Err(_) => panic!("no message {text:?}, only {heard:#?}"),
            }
        }
    }

    /// Makes connections in a network of their own; what was made is in the file that this returns.
    fn load(&self, args: &[&str]) -> PathBuf {
        let output = load(&[&["run", "--own-network", "--json"], args].concat());
        assert!(output.status.success(), "{output:?}");
        let made = self.folder.path().join(args.join(""));
        fs::write(&made, output.stdout).unwrap();
        made
    }

    /// Waits until lightmon has written all earlier events. The 1.5 s after SIGTERM can be too short on a busy machine.
    fn catch_up(&self) {
        let mut events = File::open(self.events()).unwrap();
        events.seek(SeekFrom::End(0)).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let mut written = Vec::new();
        while !String::from_utf8_lossy(&written).contains("\"127.15.0.1\"") {
            assert!(Instant::now() < deadline, "lightmon has fallen behind");
            // Nobody listens. Another one each time, as the kernel's buffer may be full.
            let _ = TcpStream::connect((Ipv4Addr::new(127, 15, 0, 1), 9));
            thread::sleep(Duration::from_millis(20));
            written.clear();
            events.read_to_end(&mut written).unwrap();
        }
    }

    fn events(&self) -> PathBuf {
        self.folder.path().join("events")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Ends it as a user does.
    fn stop(&mut self) -> Balance {
        self.catch_up();
        self.signal(Signal::SIGTERM);
        let summary = self.hear("lightmon: seen ");
        assert!(self.child.wait().unwrap().success(), "{summary}");
        let number = |name: &str| -> u64 {
            let (_, rest) = summary.split_once(&format!("{name} ")).unwrap();
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
            rest[..end].parse().unwrap()
        };
        let balance = Balance {
            seen: number("seen"),
            written: number("written"),
            lost: number("lost"),
        };
        assert_eq!(balance.seen, balance.written + balance.lost, "{summary}");
        balance
    }

    /// What became of the connections that were made.
    fn check(&self, made: &Path) -> Verdict {
        let output = load(&[Path::new("check"), made, &self.events()]);
        let verdict: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let number = |name: &str| verdict[name].as_u64().unwrap();
        assert_eq!(
            (number("failed"), number("duplicates")),
            (0, 0),
            "{verdict}"
        );
        assert_eq!(
            (number("wrongProcess"), number("wrongOutcome")),
            (0, 0),
            "{verdict}"
        );
        let verdict = Verdict {
            made: number("made"),
            reported: number("reported"),
            missing: number("missing"),
        };
        assert_eq!(output.status.success(), verdict.missing == 0);
        verdict
    }
}

impl Drop for Lightmon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `lightmon-load` with these arguments.
fn load(args: &[impl AsRef<OsStr>]) -> Output {
    Command::new(Path::new(env!("CARGO_BIN_EXE_lightmon")).with_file_name("lightmon-load"))
        .args(args)
        .output()
        .unwrap()
}

/// As fast as two processes can on two cores, which they share with lightmon.
#[test]
#[ignore = "needs root: make test runs it"]
fn a_million_connects_at_full_speed() {
    let mut lightmon = Lightmon::start();
    let made = lightmon.load(&["tcp", "--count", "1000000", "--processes", "2"]);
    let balance = lightmon.stop();
    let verdict = lightmon.check(&made);
    assert_eq!(
        (verdict.made, verdict.reported, balance.lost),
        (1_000_000, 1_000_000, 0)
    );
}

/// Each connects and is gone: its path, arguments and parent are known nevertheless.
#[test]
#[ignore = "needs root: make test runs it"]
fn ten_thousand_processes_that_live_for_one_connect() {
    let mut lightmon = Lightmon::start();
    let made = lightmon.load(&["exec", "--count", "10000", "--processes", "2"]);
    assert_eq!(lightmon.stop().lost, 0);
    let verdict = lightmon.check(&made);
    assert_eq!((verdict.made, verdict.reported), (10_000, 10_000));
}

#[test]
#[ignore = "needs root: make test runs it"]
fn each_kind_of_connection() {
    let mut lightmon = Lightmon::start();
    let many = ["--count", "5000", "--processes", "2"];
    let made = [
        lightmon.load(&[&["refused"], &many[..]].concat()),
        lightmon.load(&[&["tcp6"], &many[..]].concat()),
        lightmon.load(&[&["udp"], &many[..]].concat()),
        lightmon.load(&[&["udp-send"], &many[..]].concat()),
    ];
    assert_eq!(lightmon.stop().lost, 0);
    for made in made {
        let verdict = lightmon.check(&made);
        assert_eq!((verdict.made, verdict.reported), (5000, 5000));
    }
}

/// Slow and steady: the 2000th is not made before its time.
#[test]
#[ignore = "needs root: make test runs it"]
fn rate_of_a_load() {
    let mut lightmon = Lightmon::start();
    let start = Instant::now();
    let made = lightmon.load(&[
        "tcp",
        "--count",
        "2000",
        "--rate",
        "1000",
        "--processes",
        "2",
    ]);
    assert!(start.elapsed() >= Duration::from_millis(1998));
    assert_eq!(lightmon.stop().lost, 0);
    let verdict = lightmon.check(&made);
    assert_eq!((verdict.made, verdict.reported), (2000, 2000));
}

/// What stands in for the original takes its options and prints its JSON, as the original would.
#[test]
#[ignore = "needs root: make test runs it"]
fn side_by_side_with_a_stand_in_for_the_original() {
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (original, arguments) = (path("original"), path("arguments"));
    let lightmon = env!("CARGO_BIN_EXE_lightmon");
    let script = format!("#!/bin/sh\necho \"$@\" >{arguments}\nexec {lightmon} \"$@\"\n");
    fs::write(&original, script).unwrap();
    fs::set_permissions(&original, Permissions::from_mode(0o755)).unwrap();

    let (results, plot, run) = (path("results.json"), path("plot.svg"), path("run"));
    let options = [
        ["--load", "tcp6"],
        ["--rounds", "1"],
        ["--lightmon", lightmon],
        ["--original", &original],
        ["--results", &results],
        ["--plot", &plot],
        ["--folder", &run],
    ];
    let output = load(&[&["side-by-side", "--quick"], options.as_flattened()].concat());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        fs::read_to_string(&arguments).unwrap().trim_end(),
        "-output json -v6"
    );

    let results: Value = serde_json::from_slice(&fs::read(&results).unwrap()).unwrap();
    let runs = results["runs"].as_array().unwrap();
    let of = |tool: &str| runs.iter().find(|run| run["tool"] == tool).unwrap();
    for tool in ["lightmon", "original"] {
        let (run, cost) = (of(tool), &of(tool)["cost"]);
        assert_eq!(run["made"], 50_000, "{run}");
        assert_eq!(cost["reported"], run["made"], "{run}");
        assert!(cost["cpuSeconds"].as_f64().unwrap() > 0.0, "{run}");
        assert!(cost["peak"].as_u64().unwrap() > 1024, "{run}");
    }
    let excluded = of("lightmon, excluded");
    assert_eq!(excluded["cost"]["reported"], 0, "{excluded}");
    assert!(
        excluded["cost"]["excluded"].as_u64() >= Some(50_000),
        "{excluded}"
    );
    assert_eq!(of("nothing attached")["cost"], Value::Null);
    assert_eq!(runs.len(), 4);

    let table = String::from_utf8(output.stdout).unwrap();
    let rows = table
        .lines()
        .filter(|row| row.contains("| original ") && row.contains(" 100 % "));
    assert_eq!(rows.count(), 1, "{table}");
    assert!(fs::read_to_string(&plot).unwrap().contains(">original<"));
}

/// More than the kernel's buffer holds, while lightmon can't read: what is not reported is counted, to the last one.
#[test]
#[ignore = "needs root: make test runs it"]
fn lost_events_are_counted() {
    let mut lightmon = Lightmon::start();
    lightmon.signal(Signal::SIGSTOP);
    let made = lightmon.load(&["udp", "--count", "150000", "--processes", "2"]);
    lightmon.signal(Signal::SIGCONT);
    let balance = lightmon.stop();
    let verdict = lightmon.check(&made);
    assert_eq!(verdict.made, 150_000);
    assert_eq!(verdict.reported + verdict.missing, verdict.made);
    // Of what others have connected meanwhile, some is lost as well: how much can't be known, but how many they are
    // can be seen of what was written. On a quiet machine it is none.
    let others = balance.written - verdict.reported;
    let lost_of_others = balance.lost.checked_sub(verdict.missing);
    assert!(
        verdict.missing > 0 && lost_of_others.is_some_and(|lost| lost <= 10 + 4 * others),
        "{balance:?} {verdict:?}"
    );
}
