//! Messages on stderr, written by a thread of their own: whoever has something to say is not held up by a reader that
//! stalls, as with `lightmon 2>&1 | less`. What is too much for it is left out, and that is said.

use std::{
    fmt,
    io::{self, Write},
    os::fd::AsFd as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::privileges;

/// Most that wait.
const MOST: usize = 1024;

/// How long a reader that takes nothing is waited for at the end.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a slow one is.
const LONGEST: Duration = Duration::from_secs(10);

static SENDER: OnceLock<SyncSender<Task>> = OnceLock::new();
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Task {
    Write(Vec<u8>),
    /// All before it is written.
    Done(SyncSender<()>),
}

/// Starts the thread; before that, and when it can't be started, messages are written at once.
pub fn start() {
    let (sender, tasks) = sync_channel(MOST);
    let thread = thread::Builder::new().name("messages".into());
    let run = move || {
        // Before the log is there that could tell.
        let _ = privileges::keep(&[]);
        write(&tasks, io::stderr());
    };
    if thread.spawn(run).is_ok() {
        let _ = SENDER.set(sender);
    }
}

/// Says a line of its own.
pub fn log(line: impl fmt::Display) {
    // Nobody is left to tell when stderr is closed.
    let _ = Message.write_all(format!("{line}\n").as_bytes());
}

/// Waits until all messages are written, unless nobody reads them.
pub fn finish() {
    let Some(sender) = SENDER.get() else { return };
    let (done, is_done) = sync_channel(1);
    let began = Instant::now();
    let mut task = Some(Task::Done(done));
    while began.elapsed() < LONGEST {
        // When too much waits, it may be taken the next time.
        if let Some(Err(error)) = task.take().map(|task| sender.try_send(task)) {
            task = match error {
                TrySendError::Full(task) => Some(task),
                TrySendError::Disconnected(_) => return,
            };
        }
        match is_done.recv_timeout(PATIENCE / 4) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        if began.elapsed() >= PATIENCE && !has_room() {
            return;
        }
    }
}

/// Whether stderr takes something now.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// One message: each write is one.
pub struct Message;

impl Write for Message {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let Some(sender) = SENDER.get() else {
            return io::stderr().write(message);
        };
        if sender.try_send(Task::Write(message.to_vec())).is_err() {
            LEFT_OUT.fetch_add(1, Relaxed);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(tasks: &Receiver<Task>, mut to: impl Write) {
    for task in tasks {
        // Nobody is left to tell when stderr is closed.
        match task {
            Task::Write(message) => _ = to.write_all(&message),
            Task::Done(done) => _ = done.try_send(()),
        }
        match LEFT_OUT.swap(0, Relaxed) {
            0 => {}
            n => _ = writeln!(to, "lightmon: {n} messages were left out here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_where_it_is_missing() {
        let (sender, tasks) = sync_channel(4);
        let (done, is_done) = sync_channel(1);
        for text in ["one\n", "two\n"] {
            sender.send(Task::Write(text.into())).unwrap();
        }
        sender.send(Task::Done(done)).unwrap();
        drop(sender);
        LEFT_OUT.store(3, Relaxed);
        let mut written = Vec::new();
        write(&tasks, &mut written);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "one\nlightmon: 3 messages were left out here\ntwo\n"
        );
        is_done.try_recv().unwrap();
    }
}
