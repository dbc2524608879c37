//! Standard output. The output's thread waits for its reader; the pipeline's thread writes only what needs no waiting.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use lightmon_thread::lock;

use super::{Sink, line_writer::LineWriter};
use crate::Error;

/// Standard output, shared by both threads.
#[derive(Clone, Debug)]
pub(crate) struct Stdout(Arc<Mutex<LineWriter>>);

impl Stdout {
    pub(super) fn open() -> Result<Self, Error> {
        LineWriter::stdout().map(Self::new).map_err(error)
    }

    /// Any file in the place of standard output, as tests have it.
    pub(crate) fn new(lines: LineWriter) -> Self {
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Appends whole lines without waiting. `None` if that is not possible: the other thread is writing, there is no room, or
    /// the file might take only a part of them.
    pub(crate) fn try_append(&self, lines: &[u8]) -> Option<(usize, Result<(), Error>)> {
        let mut file = self.0.try_lock().ok()?;
        if lines.len() > file.max_atomic_bytes() {
            return None;
        }
        match file.append(lines, &|| true) {
            (0, Err(error)) if error.kind() == ErrorKind::TimedOut => None,
            (written, result) => Some((written, result.map_err(error))),
        }
    }
}

impl Sink for Stdout {
    fn append(
        &mut self,
        _now: Timestamp,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, Result<(), Error>) {
        let (written, result) = lock(&self.0).append(lines, give_up);
        (written, result.map_err(error))
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn is_file(&self) -> bool {
        lock(&self.0).max_atomic_bytes() == usize::MAX
    }

    fn direct(&self) -> Option<Stdout> {
        Some(self.clone())
    }
}

fn error(cause: io::Error) -> Error {
    match cause.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::Closed,
        ErrorKind::TimedOut => Error::Stalled,
        _ => Error::Write {
            to: "standard output".to_owned(),
            cause,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read as _};

    use nix::{libc::PIPE_BUF, unistd::pipe};

    use super::*;

    #[test]
    fn a_direct_write_takes_all_or_nothing() {
        let lines = |n: usize| "0123456789abcde\n".repeat(n).into_bytes();
        let (read, write) = pipe().unwrap();
        let stdout = Stdout::new(LineWriter::non_blocking(write.into()).unwrap());
        assert!(stdout.try_append(&lines(PIPE_BUF / 16 + 1)).is_none());
        let mut taken = 0;
        while let Some((written, result)) = stdout.try_append(&lines(100)) {
            result.unwrap();
            assert_eq!(written, 1600);
            taken += written;
        }
        assert!(taken > 0, "full now");
        let busy = lock(&stdout.0);
        assert!(stdout.try_append(b"line\n").is_none());
        drop(busy);
        let mut all = vec![0; taken];
        File::from(read).read_exact(&mut all).unwrap();
        assert_eq!(all, lines(taken / 16));
        assert!(matches!(
            stdout.try_append(b"line\n"),
            Some((0, Err(Error::Closed)))
        ));
    }
}
