//! The canary's watch over the real kernel program: it says nothing while all hooks are there, raises the alarm when they are
//! detached, and gives the all-clear when they are back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lightmon::{
    canary::{
        Canary,
        watch::{self, Eye},
    },
    event::Record,
    source::{
        MAX_BATCH, Next, Source as _, Stop,
        ebpf::{EbpfSource, Options},
    },
    stats::Stats,
};

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

fn open() -> EbpfSource {
    let options = Options {
        object: std::env::var_os("LIGHTMON_EBPF_OBJECT").map(Into::into),
        ..Options::default()
    };
    EbpfSource::open(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// What reads a source and shows lightmon's own connections to the eye; detaches the hooks when it is ended.
struct Reader {
    stop: Stop,
    thread: JoinHandle<()>,
    shown: Arc<AtomicUsize>,
}

impl Reader {
    fn start(mut source: EbpfSource, eye: Eye) -> Self {
        let (stop, shown) = (Stop::new().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (stop_too, shown_too) = (stop.clone(), shown.clone());
        let thread = thread::spawn(move || {
            let (mut records, stats) = (Vec::new(), Stats::default());
            loop {
                let next = source
                    .next(&mut records, MAX_BATCH, &stop_too, &stats)
                    .unwrap();
                for record in records.drain(..) {
                    if let Record::Own(event) = record {
                        eye.saw(&event);
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
fn detached_hooks_are_blindness() {
    let (teller, told) = mpsc::channel();
    let (stop, source) = (Stop::new().unwrap(), open());
    let mut canary = Canary::new(&source.degraded);
    let made = canary.fly().made();
    assert!(made >= 4, "{canary:?}");
    let interval = Duration::from_millis(100);
    let eye = watch::start(canary, interval, stop.clone(), move |sight| {
        let _ = teller.send(sight);
    })
    .unwrap();

    let reader = Reader::start(source, eye.clone());
    reader.wait_for(5 * made);
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));

    reader.end();
    let blind = told.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert!(blind.contains(" was not seen"), "{blind}");

    let reader = Reader::start(open(), eye);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), Ok(()));
    stop.set();
    reader.end();
    assert_eq!(
        told.recv_timeout(DEADLINE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}
