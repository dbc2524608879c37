//! The balance of whole runs: a source that is faster than any reader, with readers of every kind.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    sync::{Arc, Mutex, atomic::AtomicU64, mpsc},
    thread,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use nix::unistd::pipe;
use serde_json::Value;

use super::*;
use lightmon_event::Lost;
use lightmon_output::{Format, Options, Terminal};
use lightmon_plugin_host::Limits;

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

/// A source that brings batches as fast as they are asked for.
struct Flood {
    left: u64,
    /// How many connections of lightmon itself come with each batch.
    own: usize,
    /// How many connections the kernel has lost with each batch.
    lost: u64,
    /// The longest time between two calls.
    slowest: Arc<Mutex<Duration>>,
    asked: Instant,
    /// Is sent to when half of the events are brought.
    halfway: Option<mpsc::Sender<()>>,
    half: u64,
}

impl Flood {
    fn new(events: u64) -> Self {
        Self {
            left: events,
            own: 0,
            lost: 0,
            slowest: Arc::default(),
            asked: Instant::now(),
            halfway: None,
            half: events / 2,
        }
    }
}

impl Source for Flood {
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next> {
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = self.asked.elapsed().max(*slowest);
        if stop.is_set() {
            return Ok(Next::End);
        }
        let events = self.left.min(max as u64);
        self.left -= events;
        for _ in 0..events {
            batch.push(Record::Connection(Event::sample()));
        }
        for _ in 0..self.own {
            batch.push(Record::FromSelf(Event::sample()));
        }
        stats.seen.fetch_add(events + self.own as u64, Relaxed);
        if self.lost > 0 {
            stats.seen.fetch_add(self.lost, Relaxed);
            stats.lost_kernel.fetch_add(self.lost, Relaxed);
            let now = jiff::Timestamp::now();
            batch.push(Record::Lost(Lost {
                since: now,
                until: now,
                connections: self.lost,
                processes: 1,
            }));
        }
        if self.left <= self.half
            && let Some(halfway) = self.halfway.take()
        {
            halfway.send(()).unwrap();
        }
        self.asked = Instant::now();
        Ok(if self.left == 0 {
            Next::End
        } else {
            Next::More
        })
    }
}

fn options(is_lossless: bool) -> Options {
    Options {
        zone: TimeZone::UTC,
        terminal: Terminal::NONE,
        is_lossless,
        ..Options::new(Format::Json, None, false)
    }
}

fn pipeline(source: impl Source + 'static, output: Output) -> Pipeline {
    Pipeline {
        source: Box::new(source),
        enrich: None,
        exclude: Exclude::parse([""; 0]).unwrap(),
        plugins: Chain::load(&[], &Limits::default(), None, |_| unreachable!()).unwrap(),
        output,
        count: None,
        is_lossless: false,
        own: None,
    }
}

/// What is in the JSON lines that a reader has got.
#[derive(Debug, Default, PartialEq)]
struct Found {
    events: u64,
    lost_output: u64,
    lost_kernel: u64,
    processes: u64,
    notices: u64,
}

impl Found {
    fn add(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["notice"].is_null() {
            self.events += 1;
            return;
        }
        assert_eq!(line["notice"], "lost");
        let connections = line["connections"].as_u64().unwrap();
        match line["where"].as_str() {
            Some("kernel") => self.lost_kernel += connections,
            Some("output") => self.lost_output += connections,
            _ => panic!("{line}"),
        }
        self.processes += line["processes"].as_u64().unwrap();
        self.notices += 1;
    }

    fn read(pipe: impl Into<File>) -> Self {
        let mut found = Self::default();
        for line in BufReader::new(pipe.into()).lines() {
            found.add(&line.unwrap());
        }
        found
    }
}

fn numbers(stats: &Stats) -> [u64; 5] {
    assert_eq!(stats.unaccounted(), 0, "{stats}");
    [
        &stats.seen,
        &stats.written,
        &stats.from_self,
        &stats.lost_kernel,
        &stats.lost_output,
    ]
    .map(|n| n.load(Relaxed))
}

#[test]
fn a_slow_reader_loses_events_but_stalls_nothing_and_all_are_counted() {
    const EVENTS: u64 = 200_000;
    let (read, write) = pipe().unwrap();
    let (stop, stats) = (Stop::new().unwrap(), Arc::new(Stats::default()));
    let (halfway, is_halfway) = mpsc::channel();
    let source = Flood {
        own: 1,
        lost: 2,
        halfway: Some(halfway),
        ..Flood::new(EVENTS)
    };
    let slowest = source.slowest.clone();
    let seen_own = Arc::new(AtomicU64::new(0));
    let mut pipeline = pipeline(source, Output::to(&options(false), write, stats.clone()));
    let counter = seen_own.clone();
    pipeline.own = Some(Box::new(move |event| {
        assert_eq!(event, &Event::sample());
        counter.fetch_add(1, Relaxed);
    }));
    // The reader begins when half of the events have come.
    let reader = thread::spawn(move || {
        is_halfway.recv_timeout(DEADLINE).unwrap();
        Found::read(read)
    });
    let error = pipeline.run(&stop, &stats).unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    let found = reader.join().unwrap();

    let [seen, written, own, lost_kernel, lost_output] = numbers(&stats);
    assert_eq!((own, lost_kernel), (EVENTS.div_ceil(256), 2 * own));
    assert_eq!(own, seen_own.load(Relaxed));
    assert_eq!(seen, EVENTS + own + lost_kernel);
    assert_eq!(written + lost_output, EVENTS);
    assert!(written > 1000 && lost_output > 1000, "{stats}");
    let expected = Found {
        events: written,
        lost_output,
        lost_kernel,
        processes: own,
        notices: found.notices,
    };
    assert_eq!(found, expected);
    assert!(found.notices < 60, "{found:?}");
    let slowest = *slowest.lock().unwrap();
    assert!(slowest < DEADLINE / 4, "{slowest:?}");
}

#[test]
fn a_replay_waits_for_a_slow_reader() {
    const EVENTS: u64 = 20_000;
    let (read, write) = pipe().unwrap();
    let (stop, stats) = (Stop::new().unwrap(), Arc::new(Stats::default()));
    let source = Flood::new(EVENTS);
    let output = Output::to(&options(true), write, stats.clone());
    let pipeline = pipeline(source, output);
    let runner = thread::spawn({
        let stats = stats.clone();
        move || pipeline.run(&stop, &stats)
    });
    // Longer than a live run would wait. The queue is full by then.
    thread::sleep(Duration::from_millis(500));
    assert!(!runner.is_finished());
    assert_eq!(stats.lost_output.load(Relaxed), 0);
    assert_eq!(Found::read(read).events, EVENTS);
    runner.join().unwrap().unwrap();
    assert_eq!(numbers(&stats), [EVENTS, EVENTS, 0, 0, 0]);
}

#[test]
fn a_closed_reader_ends_the_run_and_the_rest_is_counted() {
    let (read, write) = pipe().unwrap();
    let (stop, stats) = (Stop::new().unwrap(), Arc::new(Stats::default()));
    let output = Output::to(&options(false), write, stats.clone());
    let pipeline = pipeline(Flood::new(50_000), output);
    let mut reader = BufReader::new(File::from(read));
    let leaver = thread::spawn(move || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    });
    let error = pipeline.run(&stop, &stats).unwrap_err();
    assert!(error.to_string().contains("has gone"), "{error}");
    assert!(leaver.join().unwrap().starts_with("{\"v\":1,"));
    let [seen, written, _, _, lost] = numbers(&stats);
    assert!(seen == 50_000 && written > 0 && lost > 0, "{stats}");
}

#[test]
fn count_ends_the_run_after_exactly_that_many_events() {
    for count in [1, 255, 256, 257, 30_000] {
        let (read, write) = pipe().unwrap();
        let (stop, stats) = (Stop::new().unwrap(), Arc::new(Stats::default()));
        let (halfway, is_halfway) = mpsc::channel();
        let source = Flood {
            halfway: Some(halfway),
            half: 9_980_000,
            ..Flood::new(10_000_000)
        };
        let mut pipeline = pipeline(source, Output::to(&options(false), write, stats.clone()));
        pipeline.count = Some(count);
        // For the largest count the reader begins late: some events are lost, and others take their place.
        let reader = thread::spawn(move || {
            if count == 30_000 {
                is_halfway.recv_timeout(DEADLINE).unwrap();
            }
            Found::read(read)
        });
        let result = pipeline.run(&stop, &stats);
        let found = reader.join().unwrap();
        let [_, written, _, _, lost] = numbers(&stats);
        assert_eq!((written, found.events), (count, count));
        assert_eq!(found.lost_output, lost);
        assert_eq!(result.is_err(), lost > 0);
        assert_eq!(lost > 0, count == 30_000, "{stats}");
    }
}
