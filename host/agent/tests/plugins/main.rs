//! Plugins through the public interface: real components, made from text in `tests/guests/`, good and evil ones.

mod cache;
mod evil;
mod evil_ticks;
mod faults;
mod flood;
mod grants;
mod guest;
mod imports;
mod load;
mod mmdb;
mod monitor;
mod reload;
mod stored;
mod tick;
mod verdicts;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use lightmon_event::{Container, Event, Outcome, Process, Protocol, Stats};
use lightmon_plugin_host::{Chain, Error, Halt, Limits, Spec, When};

/// `curl` in a container connects to that port.
fn event(port: u16) -> Event {
    Event {
        time: jiff::Timestamp::UNIX_EPOCH,
        kernel_time: Duration::from_secs(1),
        protocol: Protocol::Tcp,
        source: "192.0.2.1:40000".parse().expect("an address"),
        destination: ([198, 51, 100, 7], port).into(),
        outcome: Outcome::Established,
        errno: None,
        latency: Some(Duration::from_millis(3)),
        pid: 42,
        tid: 43,
        uid: 1000,
        gid: 1000,
        user: Some("alice".into()),
        comm: "curl".into(),
        process: Arc::new(Process {
            pid: 42,
            comm: "curl".into(),
            path: Some("/usr/bin/curl".into()),
            args: Some(Arc::new(["curl".into(), "--token=secret".into()])),
            ..Process::default()
        }),
        container: Some(Arc::new(Container {
            id: "0123".into(),
            name: Some("web".into()),
            image: None,
            labels: vec![("app".into(), "web".into())],
            ..Container::default()
        })),
        exec_id: 0,
        container_provenance: None,
        unit: None,
        peer: None,
        cgroup_id: 7,
        tags: Vec::new(),
        line: None,
    }
}

fn events(ports: &[u16]) -> Vec<Event> {
    ports.iter().copied().map(event).collect()
}

fn ports(events: &[Event]) -> Vec<u16> {
    events
        .iter()
        .map(|event| event.destination.port())
        .collect()
}

/// The one expression that the tests know, in place of the exclude language.
fn when(expression: &str) -> Result<When, String> {
    match expression {
        "dport=53" => Ok(Box::new(|event| event.destination.port() == 53)),
        "dport=1" => Ok(Box::new(|event| event.destination.port() == 1)),
        _ => Err("unknown key\n".to_owned()),
    }
}

/// Limits that do not stop an honest guest on a busy machine. For guests that never end, see [`short`].
fn patient() -> Limits {
    Limits {
        batch: Duration::from_secs(20),
        init: Duration::from_secs(20),
        ..Limits::default()
    }
}

/// The real time for a batch, for guests that never end.
fn short() -> Limits {
    Limits {
        init: Duration::from_secs(20),
        ..Limits::default()
    }
}

/// The guests' files and a chain of them.
struct Host {
    folder: tempfile::TempDir,
    limits: Limits,
    cache: Option<PathBuf>,
    specs: Vec<Spec>,
}

impl Host {
    fn new(limits: Limits) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            limits,
            cache: None,
            specs: Vec::new(),
        }
    }

    /// Writes a file and adds it to the chain, with settings (`""` or `:key=value`).
    fn with(mut self, file: &str, bytes: impl AsRef<[u8]>, settings: &str) -> Self {
        let path = self.folder.path().join(file);
        std::fs::write(&path, bytes).expect("a file");
        let spec = format!("{}{settings}", path.display());
        self.specs.push(spec.parse().expect("a spec"));
        self
    }

    fn load(&self) -> Result<Chain, Error> {
        Chain::load(&self.specs, &self.limits, self.cache.as_deref(), when)
    }

    /// The error, without the name of the folder.
    fn error(&self) -> String {
        let text = self.load().err().expect("must not load").to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    fn run(&self) -> Run {
        let chain = self.load().unwrap_or_else(|error| panic!("{error}"));
        let stats = Stats::new(chain.names());
        Run {
            chain,
            stats,
            halted: None,
        }
    }
}

struct Run {
    chain: Chain,
    stats: Stats,
    /// Why lightmon would have ended after the last batch.
    halted: Option<Halt>,
}

impl Run {
    /// Passes a batch through the chain, and checks that each event is accounted for.
    fn pass(&mut self, mut batch: Vec<Event>) -> Vec<Event> {
        self.stats.seen.fetch_add(batch.len() as u64, Relaxed);
        self.halted = self.chain.run(&mut batch, &self.stats).err();
        self.stats.written.fetch_add(batch.len() as u64, Relaxed);
        assert_eq!(self.stats.unaccounted(), 0, "{}", self.stats);
        batch
    }

    /// Events that the plugin at that place has not seen.
    fn skipped(&self, plugin: usize) -> u64 {
        self.stats.plugins[plugin].skipped.load(Relaxed)
    }

    /// Dropped, faults, ignored of the plugin at that place.
    fn counts(&self, plugin: usize) -> [u64; 3] {
        let count = &self.stats.plugins[plugin];
        [&count.dropped, &count.faults, &count.ignored].map(|n| n.load(Relaxed))
    }
}

/// Returns the messages that are logged while `run` runs.
fn logged(run: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let text = log.0.lock().expect("not poisoned").clone();
    let text = String::from_utf8(text).expect("UTF-8");
    text.lines().map(|line| line.trim().to_owned()).collect()
}
