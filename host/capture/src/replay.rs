//! Replays a recording: reads the JSON lines of `lightmon -f json` from a file or standard input.
//!
//! Events come as fast as they can be read, not in the rhythm in which they were recorded. A line that is neither an event nor a notice
//! is skipped and counted. A line is the whole event: identity has nothing to add, and JSON output in the same time zone is the
//! same line.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, ErrorKind},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use anyhow::Context as _;
use lightmon_event::{Record, Stats, json};
use lightmon_thread::Stop;
use memchr::memchr;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{Next, Source};

/// Maximum length of a line. No event is longer, and the rest of a longer line is not kept in memory.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Size of the read buffer.
const BUFFER_BYTES: usize = 1 << 16;

/// A recording.
#[derive(Debug)]
pub struct Replay {
    name: String,
    file: BufReader<File>,
    /// The part of the current line that was read so far.
    line: Vec<u8>,
    /// Number of the current line.
    number: u64,
    /// Whether the current line is longer than [`MAX_LINE_BYTES`].
    is_too_long: bool,
    /// Whether the end of the file was reached.
    has_ended: bool,
    /// Whether a malformed line was logged.
    has_warned: bool,
}

/// The recording can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("open the recording {}: {cause}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub cause: io::Error,
}

impl Replay {
    /// Opens a recording; `-` is standard input.
    ///
    /// # Errors
    /// If there is no such file, it can't be read, or it is a directory.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            if path == Path::new("-") {
                return Ok((
                    "standard input".to_owned(),
                    io::stdin().as_fd().try_clone_to_owned()?.into(),
                ));
            }
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            Ok((path.display().to_string(), file))
        };
        let (name, file) = open().map_err(|cause| Error {
            path: path.to_owned(),
            cause,
        })?;
        Ok(Self::new(name, file))
    }

    fn new(name: String, file: File) -> Self {
        Self {
            name,
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            line: Vec::new(),
            number: 1,
            is_too_long: false,
            has_ended: false,
            has_warned: false,
        }
    }

    /// Moves what was read into `line`, up to the end of the line. Returns whether the line is complete.
    fn extend_line(&mut self) -> bool {
        let buffer = self.file.buffer();
        let (part, consumed, is_complete) = match memchr(b'\n', buffer) {
            Some(end) => (&buffer[..end], end + 1, true),
            None => (buffer, buffer.len(), false),
        };
        if self.line.len() + part.len() > MAX_LINE_BYTES {
            self.is_too_long = true;
        } else {
            self.line.extend_from_slice(part);
        }
        self.file.consume(consumed);
        is_complete
    }

    /// Parses the line and begins the next one. `None` for an empty or malformed line.
    fn finish_line(&mut self, stats: &Stats) -> Option<Record> {
        let record = if self.is_too_long {
            self.malformed(
                &format_args!("it is longer than {MAX_LINE_BYTES} bytes"),
                stats,
            );
            None
        } else if self.line.trim_ascii().is_empty() {
            None
        } else {
            match json::parse_line(&self.line) {
                Ok(record) => {
                    let is_event = matches!(record, Record::Connection(_));
                    stats.seen.fetch_add(is_event.into(), Relaxed);
                    Some(record)
                }
                Err(reason) => {
                    self.malformed(&reason, stats);
                    None
                }
            }
        };
        self.line.clear();
        self.is_too_long = false;
        self.number += 1;
        record
    }

    fn malformed(&mut self, reason: &dyn std::fmt::Display, stats: &Stats) {
        stats.malformed.fetch_add(1, Relaxed);
        if !self.has_warned {
            self.has_warned = true;
            tracing::warn!(
                recording = self.name, line = self.number, %reason,
                "skipped a malformed line; further malformed lines are counted, and not logged"
            );
        }
    }

    /// Waits until the file can be read or `stop` is set, and reads into the buffer.
    fn fill(&mut self, stop: &Stop) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self.file.get_ref().as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        // A regular file is always ready.
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) if fds[0].any() == Some(true) => {}
            Ok(_) | Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        match self.file.fill_buf() {
            Ok(buffer) => self.has_ended = buffer.is_empty(),
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Source for Replay {
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next> {
        let (start, end) = (batch.len(), batch.len() + max);
        loop {
            while !self.file.buffer().is_empty() {
                if self.extend_line() {
                    batch.extend(self.finish_line(stats));
                }
                // A notice ends the batch, so that it stays behind the events before it.
                if batch.len() == end || matches!(batch.last(), Some(Record::Notice(_))) {
                    return Ok(Next::More);
                }
            }
            // The last line may have no newline.
            if self.has_ended && (!self.line.is_empty() || self.is_too_long) {
                batch.extend(self.finish_line(stats));
            }
            if batch.len() > start {
                return Ok(Next::More);
            }
            if self.has_ended || stop.is_set() {
                return Ok(Next::End);
            }
            self.fill(stop)
                .with_context(|| format!("read the recording {}", self.name))?;
        }
    }
}

#[cfg(test)]
mod tests;
