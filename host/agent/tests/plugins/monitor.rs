//! The binary over a recording: input line by line, output, and log.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Generous: the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// A lightmon that replays its standard input as JSON, without a cache and without dead letters.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightmon"));
    command
        .args(["-f", "json", "--replay", "-"])
        .current_dir("/")
        .env("LIGHTMON_CACHE_DIR", "none")
        .env("LIGHTMON_DEAD_LETTERS", "none")
        .env_remove("RUST_LOG");
    command
}

/// A connection to that port, as `-f json` writes it.
pub(crate) fn line(port: u16) -> String {
    format!(
        r#"{{"v":1,"time":"2026-11-23T15:04:05Z","pid":7,"comm":"curl","daddr":"192.0.2.1","dport":{port},"procPath":"/usr/bin/curl","procArgs":["curl","--token=s3cr3t"],"labels":{{"app":"web"}},"containerId":"ab"}}"#
    )
}

/// One that runs; killed when dropped.
pub(crate) struct Lightmon {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    messages: Receiver<String>,
    heard: Vec<String>,
}

impl Lightmon {
    /// Starts it with these plugins and arguments.
    pub(crate) fn start(plugins: &[&Path], args: &[&str]) -> Self {
        let mut command = command();
        for plugin in plugins {
            command.arg("--plugin").arg(plugin);
        }
        Self::start_command(command.args(args))
    }

    /// Starts what [`command`] has made.
    pub(crate) fn start_command(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary");
        Self {
            input: child.stdin.take(),
            lines: lines_of(child.stdout.take().expect("a pipe")),
            messages: lines_of(child.stderr.take().expect("a pipe")),
            heard: Vec::new(),
            child,
        }
    }

    /// Passes a connection through.
    pub(crate) fn pass(&mut self, port: u16) -> serde_json::Value {
        self.send(port);
        let line = self.lines.recv_timeout(DEADLINE);
        let line = line.unwrap_or_else(|_| panic!("no line; {:#?}", self.said()));
        serde_json::from_str(&line).expect("JSON")
    }

    /// The same for one that may be dropped.
    pub(crate) fn send(&mut self, port: u16) {
        self.send_line(&line(port));
    }

    /// The same for that line.
    pub(crate) fn send_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("not ended");
        writeln!(input, "{line}").expect("a reader");
    }

    /// Asks to load the plugins again.
    pub(crate) fn hang_up(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGHUP).expect("alive");
    }

    /// Waits for the next message that contains the text.
    pub(crate) fn hear(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(message) = self.messages.recv_timeout(left) else {
                panic!("no message {text:?}, only {:#?}", self.heard);
            };
            self.heard.push(message.clone());
            if message.contains(text) {
                return message;
            }
        }
    }

    /// How many messages with that text have come.
    pub(crate) fn times_said(&mut self, text: &str) -> usize {
        let said = self.said().iter();
        said.filter(|message| message.contains(text)).count()
    }

    /// All messages so far.
    fn said(&mut self) -> &[String] {
        self.heard.extend(self.messages.try_iter());
        &self.heard
    }

    /// Waits for its end while its input is open: how it ends, and all messages.
    pub(crate) fn wait(mut self) -> (Option<i32>, Vec<String>) {
        let input = self.input.take();
        let (status, _, messages) = self.end();
        drop(input);
        (status, messages)
    }

    /// Ends its input: how it ends, the lines that were not asked for, and all messages.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        drop(self.input.take());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end: {:#?}", self.said()),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let messages = self.heard.drain(..).chain(self.messages.iter()).collect();
        (status.code(), self.lines.iter().collect(), messages)
    }
}

impl Drop for Lightmon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
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
