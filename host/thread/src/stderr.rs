//! The log on stderr, written by a thread of its own: a reader of stderr that stalls, as with `lightmon 2>&1 | less`, holds up
//! no other thread. Never grows without bound: messages that find no room are left out, and a line says how many.

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

/// How many messages may wait to be written.
const MAX_QUEUED_MESSAGES: usize = 1024;

/// How long [`finish`] waits for a reader that takes nothing.
const STALLED_READER_TIMEOUT: Duration = Duration::from_millis(200);

/// How long [`finish`] waits for a slow reader.
const SLOW_READER_TIMEOUT: Duration = Duration::from_secs(10);

static SENDER: OnceLock<SyncSender<Task>> = OnceLock::new();
/// Messages that found no room since the last line that said so.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Task {
    Write(Vec<u8>),
    /// Says that all tasks before this one are done.
    Done(SyncSender<()>),
}

/// Starts the thread. Before that, and if the thread can't be started, the caller writes its messages itself.
pub fn start() {
    let (sender, tasks) = sync_channel(MAX_QUEUED_MESSAGES);
    let thread = thread::Builder::new().name("messages".into());
    let run = move || {
        // The log that could tell of a failure is not there yet.
        let _ = privileges::keep(&[]);
        write(&tasks, io::stderr());
    };
    if thread.spawn(run).is_ok() {
        let _ = SENDER.set(sender);
    }
}

/// Writes a line without a time or level, such as the summary.
pub fn log(line: impl fmt::Display) {
    // A closed stderr leaves nobody to tell.
    let _ = Message.write_all(format!("{line}\n").as_bytes());
}

/// Waits until all messages are written, or until the reader of stderr has taken nothing for too long.
pub fn finish() {
    let Some(sender) = SENDER.get() else { return };
    let (done, is_done) = sync_channel(1);
    let began = Instant::now();
    let mut task = Some(Task::Done(done));
    while began.elapsed() < SLOW_READER_TIMEOUT {
        // A full queue may have room the next time.
        if let Some(Err(error)) = task.take().map(|task| sender.try_send(task)) {
            task = match error {
                TrySendError::Full(task) => Some(task),
                TrySendError::Disconnected(_) => return,
            };
        }
        match is_done.recv_timeout(STALLED_READER_TIMEOUT / 4) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        if began.elapsed() >= STALLED_READER_TIMEOUT && !has_room() {
            return;
        }
    }
}

/// Whether a write to stderr would not block now.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// A writer to the log. Each call of `write` is one message.
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
        // A closed stderr leaves nobody to tell.
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
    fn a_line_says_how_many_messages_were_left_out() {
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
