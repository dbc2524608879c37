//! What lines are appended to: standard output, or log files. Says how much was really written.
//! Buffers nothing, and tries nothing again that has failed; a reader that is slow is waited for.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc::PIPE_BUF,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};

use super::{Error, Format, Options, rotate::Files};

/// How long a reader is waited for, in milliseconds, before the caller is asked whether to go on waiting.
const TURN: u16 = 20;

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout(Shared),
    Files(Files),
}

/// Standard output, for the writer and for those who don't want to wait.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Lines>>);

impl Shared {
    pub(super) fn new(lines: Lines) -> Self {
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Appends whole lines as [`Lines::append`] does, if nobody else is at it, and it takes them whole or not at all without
    /// being waited for; else `None`.
    pub(super) fn append_now(&self, lines: &[u8]) -> Option<(usize, Result<(), Error>)> {
        let mut file = self.0.try_lock().ok()?;
        if lines.len() > file.at_once {
            return None;
        }
        match file.append(lines, &|| true) {
            (0, Err(error)) if error.kind() == ErrorKind::TimedOut => None,
            (written, result) => Some((written, result.map_err(of_stdout))),
        }
    }

    /// Whether it is a file on a disk, or as good as one.
    pub(super) fn is_file(&self) -> bool {
        self.lock().at_once == usize::MAX
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Whoever panicked in the middle of a line: it says itself that it is torn.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        match &options.log_path {
            Some(directory) if options.format != Format::Table => {
                Files::open(directory, options.zone.clone(), (options.clock)()).map(Self::Files)
            }
            _ => Lines::stdout()
                .map(|lines| Self::Stdout(Shared::new(lines)))
                .map_err(of_stdout),
        }
    }

    /// Appends whole lines. Returns how many bytes it took; waits for room until `give_up` says otherwise.
    pub(super) fn append(
        &mut self,
        now: Timestamp,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, Result<(), Error>) {
        match self {
            Self::Stdout(stdout) => {
                let (written, result) = stdout.lock().append(lines, give_up);
                (written, result.map_err(of_stdout))
            }
            Self::Files(files) => files.append(now, lines, give_up),
        }
    }

    /// Has the disk hold what was written.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Files(files) => files.finish(),
        }
    }
}

fn of_stdout(cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::Closed,
        ErrorKind::TimedOut => Error::Stalled,
        _ => Error::Write {
            to: "standard output".to_owned(),
            cause,
        },
    }
}

/// A file.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    is_socket: bool,
    /// So many bytes it takes whole or not at all, and without being waited for.
    at_once: usize,
    /// The last line is there in part only: the next must not become its continuation.
    torn: bool,
}

impl Lines {
    pub(super) const fn new(file: File, torn: bool) -> Self {
        Self {
            file,
            is_socket: false,
            at_once: 0,
            torn,
        }
    }

    pub(super) fn stdout() -> io::Result<Self> {
        // std's own Stdout looks for lines, of which it would make several writes.
        Self::never_blocking(io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    /// The same file, so that a write takes what there is room for and no more: a write(2) that blocks can't be ended, and
    /// says too late how much of it was read.
    pub(super) fn never_blocking(file: File) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let again = || {
            // O_NONBLOCK belongs to what was opened, which others share with us: so it is opened once more.
            OpenOptions::new()
                .write(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
                .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        };
        let again = (kind.is_fifo() || file.is_terminal()).then(again);
        let again = again.and_then(Result::ok);
        Ok(Self {
            is_socket: kind.is_socket(),
            at_once: match again {
                _ if kind.is_file() => usize::MAX,
                Some(_) if kind.is_fifo() => PIPE_BUF, // pipe(7)
                _ => 0,
            },
            // Where it can't be, as with a terminal of another user, writes block as ever.
            file: again.unwrap_or(file),
            torn: false,
        })
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Appends whole lines, with one write(2) unless the file takes less. Returns how many bytes it took.
    ///
    /// When there is no room, waits for some until `give_up` says otherwise; the error is then `TimedOut`.
    pub(super) fn append(
        &mut self,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, io::Result<()>) {
        if self.torn {
            match self.write(b"\n", give_up) {
                (_, Ok(())) => self.torn = false,
                (_, error) => return (0, error),
            }
        }
        let (written, result) = self.write(lines, give_up);
        self.torn = written > 0 && lines[written - 1] != b'\n';
        (written, result)
    }

    fn write(&mut self, bytes: &[u8], give_up: &dyn Fn() -> bool) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            let result = match self.put(&bytes[written..]) {
                Ok(0) => Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n;
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if give_up() {
                        Err(ErrorKind::TimedOut.into())
                    } else {
                        self.wait()
                    }
                }
                Err(error) => Err(error),
            };
            if result.is_err() {
                return (written, result);
            }
        }
        (written, Ok(()))
    }

    /// One write.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_socket {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(send(self.file.as_raw_fd(), bytes, flags)?)
        } else {
            self.file.write(bytes)
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::from(TURN)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
