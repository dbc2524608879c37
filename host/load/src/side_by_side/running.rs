//! Starts a tool, waits until it reports connections, and ends it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket},
    },
    unistd::Pid,
};

use super::measure::Process;

/// Time limit of a start. The first start compiles plugins.
const START: Duration = Duration::from_secs(60);
/// Time limit for a tool that has fallen behind to print the rest.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Time limit for a tool to end.
const END: Duration = Duration::from_secs(10);
/// A tool is idle if it uses no more than this CPU time within this time.
const REST: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));
/// The first three numbers of the destination addresses of the probes.
const PROBES: &str = "127.14.77.";

/// A running tool. Drop kills it.
pub(super) struct Running {
    child: Child,
    output: PathBuf,
    stderr: PathBuf,
    /// The time from the start to the first connection in the output. A probe connects every millisecond.
    pub(super) first_event: Duration,
}

impl Running {
    /// Starts the tool and waits until it has printed a connection. Its output goes to this folder.
    ///
    /// # Errors
    /// If the tool does not start, or prints no connection.
    pub(super) fn start(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let (output, stderr) = (folder.join("output"), folder.join("stderr"));
        let start = Instant::now();
        let child = command
            // There is no config.yaml in this folder.
            .current_dir("/")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("start {}", command.get_program().display()))?;
        let mut running = Self {
            child,
            output,
            stderr,
            first_event: Duration::ZERO,
        };
        running.probe(start)?;
        Ok(running)
    }

    /// Connects every millisecond until one of the connections is in the output.
    fn probe(&mut self, start: Instant) -> anyhow::Result<()> {
        let mut output = File::open(&self.output)?;
        let mut printed = Vec::new();
        for i in 0.. {
            probe(i)?;
            let seen = printed.len().saturating_sub(PROBES.len());
            output.read_to_end(&mut printed)?;
            if memchr::memmem::find(&printed[seen..], PROBES.as_bytes()).is_some() {
                self.first_event = start.elapsed();
                break;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended with {status}: {}", self.said()?);
            }
            if start.elapsed() > START {
                bail!(
                    "no connection in its output after {START:?}: {}",
                    self.said()?
                );
            }
            let due = start + Duration::from_millis(1) * (i + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    pub(super) fn process(&self) -> Process {
        Process(Pid::from_raw(self.child.id() as i32))
    }

    /// Waits until the tool is idle. Returns its CPU time until then.
    pub(super) fn at_rest(&self) -> Duration {
        let (little, long) = REST;
        let start = Instant::now();
        let mut before = self.process().cpu();
        loop {
            thread::sleep(long);
            let now = self.process().cpu();
            if now.saturating_sub(before) <= little || start.elapsed() > CATCH_UP {
                return now;
            }
            before = now;
        }
    }

    /// Ends the tool with SIGINT, and returns its stderr.
    ///
    /// # Errors
    /// If the tool does not end.
    pub(super) fn end(&mut self) -> anyhow::Result<String> {
        kill(self.process().0, Signal::SIGINT)?;
        let deadline = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("it does not end within {END:?} of SIGINT");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(self.said()?)
    }

    /// Opens the tool's output.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub(super) fn output(&self) -> io::Result<io::BufReader<File>> {
        Ok(io::BufReader::with_capacity(
            1 << 20,
            File::open(&self.output)?,
        ))
    }

    fn said(&self) -> io::Result<String> {
        let said = fs::read(&self.stderr)?;
        Ok(String::from_utf8_lossy(&said).trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors are ignored: the tool may have ended, the file may be gone. The output is truncated, to save disk writes.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.output);
    }
}

/// Opens one TCP and one UDP connection to ports without a listener. Both, since some tools report only one of them.
fn probe(i: u32) -> io::Result<()> {
    let [.., last] = (1 + i % 250).to_be_bytes();
    let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::new(127, 14, 77, last), 9));
    for ty in [SockType::Stream, SockType::Datagram] {
        let socket = socket(AddressFamily::Inet, ty, SockFlag::SOCK_CLOEXEC, None)?;
        let _refused = connect(socket.as_raw_fd(), &to);
    }
    Ok(())
}
