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
mod tests {
    use std::{fs::OpenOptions, io::Read as _, os::unix::fs::OpenOptionsExt as _, thread};

    use nix::{
        fcntl::{FcntlArg, OFlag, fcntl},
        sys::stat::Mode,
        unistd::{mkfifo, pipe},
    };

    use super::*;

    #[test]
    fn a_slow_reader_is_waited_for() {
        for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
            let (read, write) = pipe().unwrap();
            fcntl(&write, FcntlArg::F_SETFL(flags)).unwrap();
            let reader = thread::spawn(move || {
                let mut all = String::new();
                File::from(read).read_to_string(&mut all).unwrap();
                all
            });
            // More than a pipe holds.
            let lines = "0123456789abcde\n".repeat(1 << 16);
            let mut file = Lines::new(write.into(), false);
            let (written, result) = file.append(lines.as_bytes(), &|| false);
            result.unwrap();
            assert_eq!(written, lines.len());
            drop(file);
            assert!(reader.join().unwrap() == lines);
        }
    }

    #[test]
    fn without_waiting_all_or_nothing() {
        let lines = |n: usize| "0123456789abcde\n".repeat(n).into_bytes();
        let (read, write) = pipe().unwrap();
        let file = Shared::new(Lines::never_blocking(write.into()).unwrap());
        assert!(file.append_now(&lines(PIPE_BUF / 16 + 1)).is_none());
        let mut taken = 0;
        while let Some((written, result)) = file.append_now(&lines(100)) {
            result.unwrap();
            assert_eq!(written, 1600);
            taken += written;
        }
        assert!(taken > 0, "full now");
        let busy = file.lock();
        assert!(file.append_now(b"line\n").is_none());
        drop(busy);
        let mut all = vec![0; taken];
        File::from(read).read_exact(&mut all).unwrap();
        assert_eq!(all, lines(taken / 16));
        assert!(matches!(
            file.append_now(b"line\n"),
            Some((0, Err(Error::Closed)))
        ));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        let mut file = Lines::new(File::create(&path).unwrap(), false);
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();

        // It leaves in the middle of a line that no pipe holds.
        let leaver = thread::spawn(move || (&reader).read_exact(&mut [0; 10]).unwrap());
        let (written, result) = file.append(&b"x".repeat(4 << 20), &|| false);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(written >= 10);
        leaver.join().unwrap();

        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        let mut rest = vec![0; written - 10];
        reader.read_exact(&mut rest).unwrap();
        let (written, result) = file.append(b"next\n", &|| false);
        result.unwrap();
        assert_eq!(written, 5);
        drop(file);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "\nnext\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_a_broken_pipe() {
        let (read, write) = pipe().unwrap();
        drop(read);
        let (written, result) = Lines::new(write.into(), false).append(b"line\n", &|| false);
        assert_eq!(
            (written, result.unwrap_err().kind()),
            (0, ErrorKind::BrokenPipe)
        );
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (written, result) = Lines::new(full, false).append(b"line\n", &|| false);
        assert_eq!(
            (written, result.unwrap_err().kind()),
            (0, ErrorKind::StorageFull)
        );
    }
}
