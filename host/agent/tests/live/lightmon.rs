//! The binary under test, as a user starts it: its events, its messages, its summary.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// Generous: the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A running lightmon; killed when dropped.
pub(crate) struct Lightmon {
    child: Child,
    lines: Receiver<String>,
    messages: Receiver<String>,
    heard: Vec<String>,
}

/// The output and messages of a run.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Lines of stdout that were not read before.
    pub(crate) lines: Vec<String>,
    /// All of stderr.
    pub(crate) messages: Vec<String>,
}

/// Starts lightmon with these arguments, in an empty folder.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightmon"));
    command
        .args(args)
        .current_dir("/")
        .env("LIGHTMON_CACHE_DIR", "none")
        .env("LIGHTMON_DEAD_LETTERS", "none")
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR");
    command
}

impl Lightmon {
    /// Starts it, and waits until its hooks are attached.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_command(command(args))
    }

    /// The same with a command of the caller's.
    pub(crate) fn start_command(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let messages = lines_of(child.stderr.take().unwrap());
        let mut lightmon = Self {
            child,
            lines,
            messages,
            heard: Vec::new(),
        };
        lightmon.hear("watching");
        lightmon
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a message on stderr.
    pub(crate) fn hear(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.heard.push(message),
                Err(_) => panic!("no message {text:?}, only {:#?}", self.heard),
            }
            if self
                .heard
                .last()
                .is_some_and(|message| message.contains(text))
            {
                return;
            }
        }
    }

    /// Returns the messages since the last call.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.messages.try_iter().collect()
    }

    /// The next line of stdout that is as wanted.
    pub(crate) fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return line,
                Ok(_) => {}
                Err(_) => panic!("the event did not come; stderr: {:#?}", self.messages()),
            }
        }
    }

    /// The next JSON event whose destination is that.
    pub(crate) fn event_to(&self, daddr: &str, dport: u16) -> Value {
        let is_it = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["daddr"] == daddr && event["dport"] == dport
        };
        serde_json::from_str(&self.line(is_it)).unwrap()
    }

    /// Ends it with a signal.
    pub(crate) fn stop(self, signal: Signal) -> Ended {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    panic!("lightmon does not end: {:#?}", self.heard)
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        assert_eq!(status.signal(), None, "{:#?}", self.heard);
        let messages = self.heard.drain(..).chain(self.messages.iter()).collect();
        Ended {
            status,
            lines: self.lines.iter().collect(),
            messages,
        }
    }
}

impl Drop for Lightmon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The summary's numbers by their names, which must add up.
    pub(crate) fn balance(&self) -> Balance {
        let summary = self
            .messages
            .iter()
            .rev()
            .find(|line| line.starts_with("lightmon: seen "))
            .unwrap_or_else(|| {
                panic!("no summary in {:#?}", self.messages);
            });
        let first = |text: &str| -> Option<u64> {
            text.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        let any = |name: &str| {
            let (_, rest) = summary.split_once(&format!("{name} "))?;
            first(rest)
        };
        // What the kernel has of it.
        let part = |name: &str| {
            let (_, rest) = summary.split_once(&format!("{name} ")).unwrap();
            first(rest.split_once("(kernel ").unwrap().1).unwrap()
        };
        let number = |name| any(name).unwrap_or_else(|| panic!("no {name} in {summary}"));
        let balance = Balance {
            seen: number("seen"),
            written: number("written"),
            excluded: number("excluded"),
            excluded_kernel: part("excluded"),
            dropped: number("dropped"),
            lost: number("lost"),
            // Left out when there are none.
            own: any("+ self").unwrap_or(0),
            lost_kernel: part("lost"),
        };
        let Balance {
            seen,
            written,
            excluded,
            dropped,
            lost,
            own,
            excluded_kernel: _,
            lost_kernel: _,
        } = balance;
        assert_eq!(seen, written + excluded + own + dropped + lost, "{summary}");
        balance
    }
}

/// Numbers of the exit summary.
pub(crate) struct Balance {
    pub(crate) seen: u64,
    pub(crate) written: u64,
    pub(crate) excluded: u64,
    /// Of them.
    pub(crate) excluded_kernel: u64,
    pub(crate) dropped: u64,
    pub(crate) lost: u64,
    pub(crate) own: u64,
    /// Of them.
    pub(crate) lost_kernel: u64,
}

fn lines_of(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}
