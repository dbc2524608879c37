//! Events from recorded JSON lines (`lightmon -f json`), out of a file or standard input.
//! Keeps no time: events come as fast as they are read. A line that is neither event nor notice is skipped and counted.
//!
//! What the recording's line says is the whole event, so nothing is left to enrich, and written as JSON again in the same
//! time zone it is the very same line.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, ErrorKind},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use anyhow::Context as _;
use memchr::memchr;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Next, Source};
use lightmon_event::{Record, Stats, json};
use lightmon_thread::Stop;

/// No event is longer; of a longer line no more is held in memory.
const LONGEST: usize = 1 << 20;

/// A recording.
#[derive(Debug)]
pub struct Replay {
    name: String,
    file: BufReader<File>,
    /// The line that is being read, as far as it has come.
    line: Vec<u8>,
    /// Its number.
    number: u64,
    /// Whether it is longer than an event can be.
    too_long: bool,
    ended: bool,
    /// Whether a malformed line has been told of.
    told: bool,
}

/// The recording can't be read.
#[derive(Debug, thiserror::Error)]
#[error("open the recording {}: {cause}", path.display())]
pub struct Error {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub cause: io::Error,
}

impl Replay {
    /// Opens a recording; `-` is standard input.
    ///
    /// # Errors
    /// When there is no such file, or it can't be read.
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
            file: BufReader::with_capacity(1 << 16, file),
            line: Vec::new(),
            number: 1,
            too_long: false,
            ended: false,
            told: false,
        }
    }

    /// CgroupMigrations what has been read on into `line`; whether that has become a whole line.
    fn advance(&mut self) -> bool {
        let new = self.file.buffer();
        let (part, taken, whole) = match memchr(b'\n', new) {
            Some(end) => (&new[..end], end + 1, true),
            None => (new, new.len(), false),
        };
        if self.line.len() + part.len() > LONGEST {
            self.too_long = true;
        } else {
            self.line.extend_from_slice(part);
        }
        self.file.consume(taken);
        whole
    }

    /// Takes the line for an event, if it is one.
    fn take(&mut self, stats: &Stats) -> Option<Record> {
        let record = if self.too_long {
            self.malformed(&format_args!("it is longer than {LONGEST} bytes"), stats);
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
        self.too_long = false;
        self.number += 1;
        record
    }

    fn malformed(&mut self, reason: &dyn std::fmt::Display, stats: &Stats) {
        stats.malformed.fetch_add(1, Relaxed);
        if !self.told {
            self.told = true;
            tracing::warn!(
                recording = self.name, line = self.number, %reason,
                "skipped a line that is no event; more of them are only counted"
            );
        }
    }

    /// Waits until there is something to read, or `stop` is set; reads it.
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
            Ok(new) => self.ended = new.is_empty(),
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
        let (empty, full) = (batch.len(), batch.len() + max);
        loop {
            while !self.file.buffer().is_empty() {
                if self.advance() {
                    batch.extend(self.take(stats));
                }
                // A notice stays behind the events that came before it.
                if batch.len() == full || matches!(batch.last(), Some(Record::Notice(_))) {
                    return Ok(Next::More);
                }
            }
            // The last line may lack its newline.
            if self.ended && (!self.line.is_empty() || self.too_long) {
                batch.extend(self.take(stats));
            }
            if batch.len() > empty {
                return Ok(Next::More);
            }
            if self.ended || stop.is_set() {
                return Ok(Next::End);
            }
            self.fill(stop)
                .with_context(|| format!("read the recording {}", self.name))?;
        }
    }
}

#[cfg(test)]
mod tests;
