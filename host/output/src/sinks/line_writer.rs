//! Appends whole lines to a file, pipe, socket or terminal, and ends a torn line before the next one begins.
//! Waits for a slow reader only as long as the caller wants. Does not know what the file is for.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    },
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc::PIPE_BUF,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, send},
};

/// How long a reader that has no room is waited for, before the caller is asked whether to go on waiting.
const ROOM_POLL_INTERVAL_MS: u16 = 20;

/// A file that takes whole lines.
#[derive(Debug)]
pub(crate) struct LineWriter {
    file: File,
    is_socket: bool,
    /// Up to this many bytes, a write takes all or nothing, and does not block.
    max_atomic_bytes: usize,
    /// Whether only a part of the last line was written: the next line must not become its continuation.
    is_torn: bool,
}

impl LineWriter {
    /// Writes to the file as it is. `is_torn` says whether the file ends within a line.
    pub(crate) const fn new(file: File, is_torn: bool) -> Self {
        Self {
            file,
            is_socket: false,
            max_atomic_bytes: 0,
            is_torn,
        }
    }

    pub(super) fn stdout() -> io::Result<Self> {
        // std's own Stdout would split a batch into several writes at line ends.
        Self::non_blocking(io::stdout().as_fd().try_clone_to_owned()?.into())
    }

    /// Writes to the file without blocking: a write takes what there is room for and no more. A write(2) that blocks can't be
    /// ended, and says too late how much of it was read.
    pub(crate) fn non_blocking(file: File) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let reopen = || {
            // O_NONBLOCK belongs to the open file description, which other processes share: so the file is opened once more.
            OpenOptions::new()
                .write(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
                .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        };
        let reopened = (kind.is_fifo() || file.is_terminal()).then(reopen);
        let reopened = reopened.and_then(Result::ok);
        Ok(Self {
            is_socket: kind.is_socket(),
            max_atomic_bytes: match reopened {
                _ if kind.is_file() => usize::MAX,
                Some(_) if kind.is_fifo() => PIPE_BUF, // pipe(7)
                _ => 0,
            },
            // A file that can't be opened again, such as another user's terminal, keeps its blocking writes.
            file: reopened.unwrap_or(file),
            is_torn: false,
        })
    }

    pub(super) const fn max_atomic_bytes(&self) -> usize {
        self.max_atomic_bytes
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Appends whole lines, with one write(2) unless the file takes less. Returns how many bytes the file took.
    ///
    /// If there is no room, waits until `give_up` returns true; the error is then `TimedOut`.
    pub(super) fn append(
        &mut self,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, io::Result<()>) {
        if self.is_torn {
            match self.write(b"\n", give_up) {
                (_, Ok(())) => self.is_torn = false,
                (_, error) => return (0, error),
            }
        }
        let (written, result) = self.write(lines, give_up);
        self.is_torn = written > 0 && lines[written - 1] != b'\n';
        (written, result)
    }

    fn write(&mut self, bytes: &[u8], give_up: &dyn Fn() -> bool) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            let result = match self.write_once(&bytes[written..]) {
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
                        self.wait_for_room()
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

    /// Makes one system call.
    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_socket {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(send(self.file.as_raw_fd(), bytes, flags)?)
        } else {
            self.file.write(bytes)
        }
    }

    fn wait_for_room(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::from(ROOM_POLL_INTERVAL_MS)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
