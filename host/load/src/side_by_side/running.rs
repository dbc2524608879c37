//! A tool that runs: started, known to report, ended.

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

/// Compiling plugins is part of a first start.
const START: Duration = Duration::from_secs(60);
/// What a tool that has fallen behind is given to print the rest.
const CATCH_UP: Duration = Duration::from_secs(60);
/// What it is given to end.
const END: Duration = Duration::from_secs(10);
/// So little CPU time in so long is rest.
const REST: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));
/// Where the probes go: the first three numbers of their addresses.
const PROBES: &str = "127.14.77.";

/// Killed when dropped.
pub(super) struct Running {
    child: Child,
    output: PathBuf,
    stderr: PathBuf,
    /// From the start until the first connection was in the output; there was one each millisecond.
    pub(super) first_event: Duration,
}

impl Running {
    /// Starts it, its output in this folder, and waits until it has printed a connection.
    ///
    /// # Errors
    /// When it can't be started, or prints none.
    pub(super) fn start(mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let (output, stderr) = (folder.join("output"), folder.join("stderr"));
        let start = Instant::now();
        let child = command
            // Where no config.yaml is.
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

    /// Connects once a millisecond until one of the connections is in the output.
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

    /// Waits until it has nothing more to do, and returns its CPU time until then.
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

    /// Ends it as a user does, and returns what it has said.
    ///
    /// # Errors
    /// When it does not end.
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

    /// What it has printed so far.
    ///
    /// # Errors
    /// When the file can't be opened.
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
        // Either may have happened already. A million lines that nobody needs any more are not worth writing to the disk.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.output);
    }
}

/// A connection over TCP and one over UDP, as some tools know one of them only; nobody listens there.
fn probe(i: u32) -> io::Result<()> {
    let [.., last] = (1 + i % 250).to_be_bytes();
    let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::new(127, 14, 77, last), 9));
    for ty in [SockType::Stream, SockType::Datagram] {
        let socket = socket(AddressFamily::Inet, ty, SockFlag::SOCK_CLOEXEC, None)?;
        let _refused = connect(socket.as_raw_fd(), &to);
    }
    Ok(())
}
