//! A file that lines are appended to: standard output, or a log file. Says how much was really written.
//! Buffers nothing, and tries nothing again that has failed; a reader that is slow is waited for.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd as _,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// The file.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    /// The last line is there in part only: the next must not become its continuation.
    torn: bool,
}

impl Lines {
    pub(super) const fn new(file: File, torn: bool) -> Self {
        Self { file, torn }
    }

    pub(super) fn stdout() -> io::Result<Self> {
        // std's own Stdout looks for lines, of which it would make several writes.
        Ok(Self::new(
            io::stdout().as_fd().try_clone_to_owned()?.into(),
            false,
        ))
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Appends whole lines, with one write(2) unless the file takes less. Returns how many bytes it took.
    pub(super) fn append(&mut self, lines: &[u8]) -> (usize, io::Result<()>) {
        if self.torn {
            match self.write(b"\n") {
                (_, Ok(())) => self.torn = false,
                (_, error) => return (0, error),
            }
        }
        let (written, result) = self.write(lines);
        self.torn = written > 0 && lines[written - 1] != b'\n';
        (written, result)
    }

    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            let result = match self.file.write(&bytes[written..]) {
                Ok(0) => Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    written += n;
                    Ok(())
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                // Whoever shares standard output with us has made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(),
                Err(error) => Err(error),
            };
            if result.is_err() {
                return (written, result);
            }
        }
        (written, Ok(()))
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut fds, PollTimeout::NONE) {
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
            let (written, result) = file.append(lines.as_bytes());
            result.unwrap();
            assert_eq!(written, lines.len());
            drop(file);
            assert!(reader.join().unwrap() == lines);
        }
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
        let (written, result) = file.append(&b"x".repeat(4 << 20));
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
        let (written, result) = file.append(b"next\n");
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
        let (written, result) = Lines::new(write.into(), false).append(b"line\n");
        assert_eq!(
            (written, result.unwrap_err().kind()),
            (0, ErrorKind::BrokenPipe)
        );
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (written, result) = Lines::new(full, false).append(b"line\n");
        assert_eq!(
            (written, result.unwrap_err().kind()),
            (0, ErrorKind::StorageFull)
        );
    }
}
