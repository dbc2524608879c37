//! The periodic self-test with the real kernel program: silent while lightmon sees all connections, `blind` when it sees none,
//! and `sighted` afterwards.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lightmon_capture::{
    MAX_BATCH, Next, Source as _,
    ebpf::{EbpfSource, Options},
    self_test::{
        SelfTest,
        periodic::{self, Observer},
    },
};
use lightmon_event::{Record, Stats};
use lightmon_thread::Stop;

use nix::{
    errno::Errno,
    libc::{self, PTRACE_DETACH, PTRACE_INTERRUPT, PTRACE_SEIZE},
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::Value;

use super::lightmon::{DEADLINE, Lightmon};

fn open() -> EbpfSource {
    let options = Options {
        object: std::env::var_os("LIGHTMON_EBPF_OBJECT").map(Into::into),
        ..Options::default()
    };
    EbpfSource::open(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads a source and passes lightmon's own connections to the observer. Detaches the hooks at the end.
struct Reader {
    stop: Stop,
    thread: JoinHandle<()>,
    shown: Arc<AtomicUsize>,
}

impl Reader {
    fn start(mut source: EbpfSource, observer: Observer) -> Self {
        let (stop, shown) = (Stop::new().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (stop_too, shown_too) = (stop.clone(), shown.clone());
        let thread = thread::spawn(move || {
            let (mut records, stats) = (Vec::new(), Stats::default());
            loop {
                let next = source
                    .next(&mut records, MAX_BATCH, &stop_too, &stats)
                    .unwrap();
                for record in records.drain(..) {
                    if let Record::FromSelf(event) = record {
                        observer.observe(&event);
                        shown_too.fetch_add(1, Relaxed);
                    }
                }
                if next == Next::End {
                    return;
                }
            }
        });
        Self {
            stop,
            thread,
            shown,
        }
    }

    fn wait_for(&self, connections: usize) {
        let begun = Instant::now();
        while self.shown.load(Relaxed) < connections {
            assert!(begun.elapsed() < DEADLINE, "{:?}", self.shown);
            thread::yield_now();
        }
    }

    fn end(self) {
        self.stop.set();
        self.thread.join().unwrap();
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn detached_hooks_fail_the_self_test() {
    let (sender, told) = mpsc::channel();
    let (stop, source) = (Stop::new().unwrap(), open());
    let mut self_test = SelfTest::new(&source.degraded);
    let made = self_test.run().made();
    assert!(made >= 4, "{self_test:?}");
    let interval = Duration::from_millis(100);
    let observer = periodic::start(self_test, interval, stop.clone(), move |result| {
        let _ = sender.send(result);
    })
    .unwrap();

    let reader = Reader::start(source, observer.clone());
    reader.wait_for(5 * made);
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));

    reader.end();
    let blind = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert!(blind.contains(" was not seen"), "{blind}");

    let reader = Reader::start(open(), observer);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), Ok(()));
    stop.set();
    reader.end();
    assert_eq!(
        told.recv_timeout(DEADLINE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

/// A lightmon with the self-test. It excludes all events, so that only notices are written.
fn start(args: &[&str]) -> Lightmon {
    let everything = "dip=0.0.0.0/0; dip=::/0";
    let options = [
        "-f",
        "json",
        "--exclude",
        everything,
        "--canary-interval",
        "1s",
    ];
    Lightmon::start(&[&options, args].concat())
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
#[ignore = "needs root: make test runs it"]
fn the_self_test_gives_no_false_alarm() {
    let ended = start(&["--duration", "5s"]).wait();
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.messages);
    assert_eq!(ended.lines, [""; 0]);
    let balance = ended.balance();
    // Four connections over IPv4 in at least four runs, all counted as lightmon's own.
    assert!(balance.own >= 16, "{:#?}", ended.messages);
}

/// Stops a thread of another process until this is dropped.
struct Standstill(Pid);

impl Standstill {
    fn of(process: u32, thread: &str) -> Self {
        let find = || {
            let mut threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
            threads.find_map(|entry| {
                let folder = entry.unwrap().path();
                let comm = fs::read_to_string(folder.join("comm")).ok()?;
                (comm.trim_end() == thread).then_some(folder)
            })
        };
        let begun = Instant::now();
        let thread = loop {
            assert!(begun.elapsed() < DEADLINE, "no thread {thread}");
            if let Some(thread) = find() {
                break thread;
            }
            thread::yield_now();
        };
        let name = thread.file_name().unwrap().to_str().unwrap();
        let thread = Pid::from_raw(name.parse().unwrap());
        ptrace(PTRACE_SEIZE, thread);
        ptrace(PTRACE_INTERRUPT, thread);
        let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(
            matches!(stopped, WaitStatus::PtraceEvent(..)),
            "{stopped:?}"
        );
        Self(thread)
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        if !thread::panicking() {
            ptrace(PTRACE_DETACH, self.0);
        }
    }
}

fn ptrace(request: libc::c_uint, thread: Pid) {
    #[expect(
        unsafe_code,
        reason = "nix has it behind a feature that only this test needs"
    )]
    // SAFETY: these requests do not access memory of this process.
    let result = unsafe { libc::ptrace(request, thread.as_raw(), 0, 0) };
    Errno::result(result).unwrap();
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_blocked_pipeline_fails_the_self_test() {
    let mut lightmon = start(&[]);
    let is = |wanted: &'static str| move |line: &str| json(line)["notice"] == wanted;
    let standstill = Standstill::of(lightmon.id(), "pipeline");
    let blind = json(&lightmon.line(is("blind")));
    let reason = blind["reason"].as_str().unwrap();
    assert!(
        reason.contains("TCP over IPv4 to 127.0.0.1:") && reason.contains(" was not seen"),
        "{blind}"
    );
    lightmon.hear("self-test failed: ");
    drop(standstill);
    lightmon.line(is("sighted"));
    lightmon.hear("self-test passed");
    let ended = lightmon.stop(Signal::SIGTERM);
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.messages);
    ended.balance();
}
