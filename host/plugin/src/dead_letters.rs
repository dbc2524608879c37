//! Dead letters: the events that a plugin fails on, as lines of JSON that `--replay` reads, so that its author can try again.
//! Keeps little of them, and nothing that a plugin was there to hide.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;

use super::{Fault, secure_fs};
use lightmon_event::escape::printable;
use lightmon_event::{Container, Event, Process, json};

/// Bytes of a file; when it is full, it takes the place of the one before it, `FILE.1`.
const FULL: u64 = 1 << 20;

/// Most letters within a [`WHILE`].
const MOST: u32 = 100;
const WHILE: Duration = Duration::from_secs(60);

/// A file for dead letters, which isn't there before the first.
pub(super) struct DeadLetters {
    path: Option<PathBuf>,
    zone: TimeZone,
    /// Whether what users, plugins or runtimes write freely is left out: arguments, labels, tags.
    pub(super) hides: bool,
    since: Instant,
    /// Since then.
    count: u32,
    /// What is wrong is said once.
    has_failed: bool,
}

impl DeadLetters {
    /// Without a path nothing is kept. `zone` is that of the times in the file.
    pub(super) fn new(path: Option<PathBuf>, zone: TimeZone) -> Self {
        Self {
            path,
            zone,
            hides: false,
            since: Instant::now(),
            count: 0,
            has_failed: false,
        }
    }

    /// Keeps an event. Whether it is kept.
    pub(super) fn keep(&mut self, event: &Event, plugin: &str, fault: &Fault) -> bool {
        if self.since.elapsed() > WHILE {
            (self.since, self.count) = (Instant::now(), 0);
        }
        let Some(path) = self.path.as_deref().filter(|_| self.count < MOST) else {
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
                "events that plugins fail on are not kept: {path}: {error}; choose another file with --dead-letters, or none"
            );
        }
        written.is_ok()
    }

    /// The event's line, with two keys more.
    fn line(&self, event: &Event, plugin: &str, fault: &Fault) -> Vec<u8> {
        let mut line = Vec::new();
        match self.hides {
            true => json::event(&without_secrets(event), &self.zone, &mut line),
            false => json::event(event, &self.zone, &mut line),
        }
        line.truncate(line.len().saturating_sub("}\n".len()));
        for (key, value) in [("plugin", plugin), ("fault", &fault.to_string())] {
            // What is printable needs no other escapes than JSON's.
            let value = serde_json::Value::from(printable(value));
            line.extend_from_slice(format!(r#","{key}":{value}"#).as_bytes());
        }
        line.extend_from_slice(b"}\n");
        line
    }
}

fn without_secrets(event: &Event) -> Event {
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

/// A few system calls, for few letters: the file may have been moved away or deleted since the last.
fn append(path: &Path, line: &[u8]) -> Result<(), Error> {
    let name = path.file_name().ok_or(Error::NoName)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = secure_fs::folder(folder).map_err(Error::Folder)?;
    let path = secure_fs::path_of(&folder).join(name);
    let mut file = open(&path)?;
    if file.1 + line.len() as u64 > FULL {
        let mut before = path.clone().into_os_string();
        before.push(".1");
        fs::rename(&path, before)?;
        file = open(&path)?;
    }
    let (mut file, length) = file;
    file.write_all(line).inspect_err(|_| {
        // Half a line would spoil the next one too.
        let _ = file.set_len(length);
    })?;
    Ok(())
}

/// The file, and how long it is.
fn open(path: &Path) -> Result<(File, u64), Error> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let (file, metadata) = secure_fs::file(path, &mut options)?;
    Ok((file, metadata.len()))
}

/// Why a letter can't be kept.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the file {0}")]
    File(#[from] secure_fs::Error),
    #[error("its folder {0}")]
    Folder(secure_fs::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("names no file")]
    NoName,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use lightmon_event::Record;

    fn letters(path: &Path) -> DeadLetters {
        DeadLetters::new(Some(path.to_owned()), TimeZone::UTC)
    }

    fn folder() -> tempfile::TempDir {
        // Made for this user only.
        tempfile::tempdir().unwrap()
    }

    fn fault() -> Fault {
        Fault::Trap("\u{1b}[2J \"unreachable\"".to_owned())
    }

    #[test]
    fn a_letter_is_an_event_that_can_be_replayed() {
        let folder = folder();
        let path = folder.path().join("new/letters.jsonl");
        let event = Event::sample();
        assert!(letters(&path).keep(&event, "geoip", &fault()));
        let line = fs::read(&path).unwrap();
        let Ok(Record::Connection(read)) = json::parse_line(&line) else {
            panic!("no event: {}", String::from_utf8_lossy(&line));
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
    fn what_a_redactor_is_there_for_is_left_out() {
        let folder = folder();
        let path = folder.path().join("letters.jsonl");
        let mut letters = letters(&path);
        letters.hides = true;
        let mut event = Event::sample();
        event.tag("secret", "s3cr3t");
        assert!(letters.keep(&event, "redact", &fault()));
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["procArgs", "labels", "tags"] {
            assert!(line[key].is_null(), "{line}");
        }
        assert!(!line["procPath"].is_null(), "{line}");
    }

    #[test]
    fn the_older_half_goes() {
        let folder = folder();
        let path = folder.path().join("letters.jsonl");
        let line = [vec![b' '; 400 << 10], b"\n".to_vec()].concat();
        for _ in 0..7 {
            append(&path, &line).unwrap();
        }
        let length = |name: &str| folder.path().join(name).metadata().unwrap().len();
        let line = line.len() as u64;
        assert_eq!(
            (length("letters.jsonl"), length("letters.jsonl.1")),
            (line, 2 * line)
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_so_many_a_minute() {
        let folder = folder();
        let path = folder.path().join("letters.jsonl");
        let mut letters = letters(&path);
        let kept = (0..MOST + 20).filter(|_| letters.keep(&Event::sample(), "a", &fault()));
        assert_eq!(kept.count(), MOST as usize);
        letters.since = Instant::now() - WHILE - Duration::from_secs(1);
        assert!(letters.keep(&Event::sample(), "a", &fault()));
    }

    #[test]
    fn what_others_could_have_put_there_is_not_used() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("target"), "").unwrap();
        symlink(path("target"), path("link")).unwrap();
        fs::write(path("open"), "").unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o666)).unwrap();
        fs::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(path("everybodys")).unwrap();
        fs::set_permissions(path("everybodys"), fs::Permissions::from_mode(0o777)).unwrap();
        symlink(folder.path(), path("elsewhere")).unwrap();
        for (name, error) in [
            ("link", "the file is a symbolic link"),
            ("open", "the file can be written by others (mode 666)"),
            (
                "folder",
                "the file can't be used: Is a directory (os error 21)",
            ),
            ("pipe", "the file is no regular file"),
            (
                "everybodys/a",
                "its folder can be written by others (mode 777)",
            ),
            ("elsewhere/a", "its folder is a symbolic link"),
            (
                "target/a",
                "its folder can't be used: File exists (os error 17)",
            ),
            ("..", "names no file"),
        ] {
            assert_eq!(
                append(&path(name), b"x\n").unwrap_err().to_string(),
                error,
                "{name}"
            );
        }
        assert_eq!(fs::read(path("target")).unwrap(), b"");
        assert!(!letters(&path("link")).keep(&Event::sample(), "a", &fault()));
    }
}
