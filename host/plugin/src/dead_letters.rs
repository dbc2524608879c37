//! The dead-letter queue: writes events that a plugin fails on to a file that `--replay` reads, so that its author can try again.
//! Limits the file, and leaves out what a redactor had to hide.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use lightmon_event::{Container, Event, Process, escape::printable, json};

use crate::{error::Fault, secure_fs};

/// The size of the file at which it is renamed to `FILE.1`, which replaces the older one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Events that are written within one [`RATE_WINDOW`].
const MAX_EVENTS_PER_WINDOW: u32 = 100;
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// The dead-letter queue. Its file is created with the first event.
pub(crate) struct DeadLetters {
    path: Option<PathBuf>,
    zone: TimeZone,
    /// Whether the text that users, plugins or runtimes choose freely is left out: arguments, labels, tags.
    pub(crate) omits_free_text: bool,
    window_start: Instant,
    /// Events that were written since then.
    count: u32,
    /// An error is logged once.
    has_failed: bool,
}

impl DeadLetters {
    /// Without a path, nothing is written. `zone` is the time zone of the times in the file.
    pub(crate) fn new(path: Option<PathBuf>, zone: TimeZone) -> Self {
        Self {
            path,
            zone,
            omits_free_text: false,
            window_start: Instant::now(),
            count: 0,
            has_failed: false,
        }
    }

    /// Appends an event. Returns whether it was written.
    pub(crate) fn write(&mut self, event: &Event, plugin: &str, fault: &Fault) -> bool {
        if self.window_start.elapsed() > RATE_WINDOW {
            (self.window_start, self.count) = (Instant::now(), 0);
        }
        let has_room = self.count < MAX_EVENTS_PER_WINDOW;
        let Some(path) = self.path.as_deref().filter(|_| has_room) else {
            return false;
        };
        self.count += 1;
        let written = append(path, &self.line(event, plugin, fault));
        if let Err(error) = &written
            && !self.has_failed
        {
            self.has_failed = true;
            let path = printable(&path.to_string_lossy());
            tracing::warn!(
                "events that plugins fail on are not written: {path}: {error}; choose another file with --dead-letters, or none"
            );
        }
        written.is_ok()
    }

    /// The event as JSON, with the additional keys `plugin` and `fault`.
    fn line(&self, event: &Event, plugin: &str, fault: &Fault) -> Vec<u8> {
        let mut line = Vec::new();
        match self.omits_free_text {
            true => json::event(&without_free_text(event), &self.zone, &mut line),
            false => json::event(event, &self.zone, &mut line),
        }
        line.truncate(line.len().saturating_sub("}\n".len()));
        for (key, value) in [("plugin", plugin), ("fault", &fault.to_string())] {
            // Printable text needs only the escapes of JSON.
            let value = serde_json::Value::from(printable(value));
            line.extend_from_slice(format!(r#","{key}":{value}"#).as_bytes());
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

fn without_free_text(event: &Event) -> Event {
    let process = Process {
        args: None,
        ..(*event.process).clone()
    };
    let container = event.container.as_deref().map(|container| Container {
        labels: Vec::new(),
        pod: None,
        ..container.clone()
    });
    Event {
        process: Arc::new(process),
        container: container.map(Arc::new),
        peer: None,
        tags: Vec::new(),
        ..event.clone()
    }
}

/// Opens the file for each event: it may have been moved or deleted since the last one, and events are few.
fn append(path: &Path, line: &[u8]) -> Result<(), Error> {
    let name = path.file_name().ok_or(Error::NoName)?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let dir = secure_fs::open_dir(dir).map_err(Error::Dir)?;
    let path = secure_fs::dir_path(&dir).join(name);
    let mut file = open(&path)?;
    if file.1 + line.len() as u64 > MAX_FILE_BYTES {
        let mut before = path.clone().into_os_string();
        before.push(".1");
        fs::rename(&path, before)?;
        file = open(&path)?;
    }
    let (mut file, length) = file;
    file.write_all(line).inspect_err(|_| {
        // An incomplete line would make the next one unreadable too.
        let _ = file.set_len(length);
    })?;
    Ok(())
}

/// The file, and how long it is.
fn open(path: &Path) -> Result<(File, u64), Error> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let (file, metadata) = secure_fs::open_file(path, &mut options)?;
    Ok((file, metadata.len()))
}

/// Why an event can't be written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the file {0}")]
    File(#[from] secure_fs::Error),
    #[error("its directory {0}")]
    Dir(secure_fs::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("does not name a file")]
    NoName,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use lightmon_event::Record;

    fn dead_letters(path: &Path) -> DeadLetters {
        DeadLetters::new(Some(path.to_owned()), TimeZone::UTC)
    }

    fn dir() -> tempfile::TempDir {
        // Made for this user only.
        tempfile::tempdir().unwrap()
    }

    fn fault() -> Fault {
        Fault::Trap("\u{1b}[2J \"unreachable\"".to_owned())
    }

    #[test]
    fn a_dead_letter_can_be_replayed() {
        let dir = dir();
        let path = dir.path().join("new/letters.jsonl");
        let event = Event::sample();
        assert!(dead_letters(&path).write(&event, "geoip", &fault()));
        let line = fs::read(&path).unwrap();
        let Ok(Record::Connection(read)) = json::parse_line(&line) else {
            panic!("not an event: {}", String::from_utf8_lossy(&line));
        };
        assert_eq!(read, event);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(
            (value["plugin"].as_str(), value["fault"].as_str()),
            (Some("geoip"), Some(r#"trapped: \u{1b}[2J "unreachable""#))
        );
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn free_text_is_left_out_before_a_redactor() {
        let dir = dir();
        let path = dir.path().join("letters.jsonl");
        let mut dead_letters = dead_letters(&path);
        dead_letters.omits_free_text = true;
        let mut event = Event::sample();
        event.tag("secret", "s3cr3t");
        assert!(dead_letters.write(&event, "redact", &fault()));
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["procArgs", "labels", "tags"] {
            assert!(line[key].is_null(), "{line}");
        }
        assert!(!line["procPath"].is_null(), "{line}");
    }

    #[test]
    fn a_full_file_is_rotated() {
        let dir = dir();
        let path = dir.path().join("letters.jsonl");
        let line = [vec![b' '; 400 << 10], b"\n".to_vec()].concat();
        for _ in 0..7 {
            append(&path, &line).unwrap();
        }
        let length = |name: &str| dir.path().join(name).metadata().unwrap().len();
        let line = line.len() as u64;
        assert_eq!(
            (length("letters.jsonl"), length("letters.jsonl.1")),
            (line, 2 * line)
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn events_per_minute_are_limited() {
        let dir = dir();
        let path = dir.path().join("letters.jsonl");
        let mut dead_letters = dead_letters(&path);
        let written = (0..MAX_EVENTS_PER_WINDOW + 20)
            .filter(|_| dead_letters.write(&Event::sample(), "a", &fault()));
        assert_eq!(written.count(), MAX_EVENTS_PER_WINDOW as usize);
        dead_letters.window_start = Instant::now() - RATE_WINDOW - Duration::from_secs(1);
        assert!(dead_letters.write(&Event::sample(), "a", &fault()));
    }

    #[test]
    fn files_that_others_can_write_are_not_used() {
        let dir = dir();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("target"), "").unwrap();
        symlink(path("target"), path("link")).unwrap();
        fs::write(path("open"), "").unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::create_dir(path("dir")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(path("everybodys")).unwrap();
        fs::set_permissions(path("everybodys"), fs::Permissions::from_mode(0o777)).unwrap();
        symlink(dir.path(), path("elsewhere")).unwrap();
        for (name, error) in [
            ("link", "the file is a symbolic link"),
            ("open", "the file can be written by others (mode 666)"),
            (
                "dir",
                "the file can't be used: Is a directory (os error 21)",
            ),
            ("pipe", "the file is not a regular file"),
            (
                "everybodys/a",
                "its directory can be written by others (mode 777)",
            ),
            ("elsewhere/a", "its directory is a symbolic link"),
            (
                "target/a",
                "its directory can't be used: File exists (os error 17)",
            ),
            ("..", "does not name a file"),
        ] {
            assert_eq!(
                append(&path(name), b"x\n").unwrap_err().to_string(),
                error,
                "{name}"
            );
        }
        assert_eq!(fs::read(path("target")).unwrap(), b"");
        assert!(!dead_letters(&path("link")).write(&Event::sample(), "a", &fault()));
    }
}
