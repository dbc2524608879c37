//! Log files: `lightmon.log.%Y%m%d%H%M` in a directory, a new file each hour of local time; the newest 8 are kept.
//! Follows no symbolic link at a file's name, and deletes no file with another kind of name.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};
use nix::fcntl::OFlag;

use super::{Sink, line_writer::LineWriter};
use crate::Error;

/// How many files are kept, the current one included.
const MAX_FILES: usize = 8;
const NAME_PREFIX: &str = "lightmon.log.";
/// How many digits the time in a file's name has.
const TIME_DIGITS: usize = 12;

/// The current hour's file.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    zone: TimeZone,
    name: String,
    lines: LineWriter,
}

impl Files {
    /// Opens the current hour's file. Makes the directory if it does not exist.
    pub(super) fn open(directory: &Path, zone: TimeZone, now: Timestamp) -> Result<Self, Error> {
        let name = name(&zone, now);
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(|cause| Error::Directory {
                path: directory.to_owned(),
                cause,
            })?;
        let lines = open(directory, &name)?;
        Ok(Self {
            directory: directory.to_owned(),
            zone,
            name,
            lines,
        })
    }

    fn path(&self) -> String {
        self.directory.join(&self.name).display().to_string()
    }
}

impl Sink for Files {
    fn append(
        &mut self,
        now: Timestamp,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, Result<(), Error>) {
        let name = name(&self.zone, now);
        if name != self.name {
            match open(&self.directory, &name) {
                Ok(lines) => (self.lines, self.name) = (lines, name),
                Err(error) => return (0, Err(error)),
            }
        }
        let (written, result) = self.lines.append(lines, give_up);
        let result = result.map_err(|cause| Error::Write {
            to: self.path(),
            cause,
        });
        (written, result)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.lines.file().sync_data().map_err(|cause| Error::Write {
            to: self.path(),
            cause,
        })
    }

    fn is_file(&self) -> bool {
        true
    }
}

fn name(zone: &TimeZone, now: Timestamp) -> String {
    zone.to_datetime(now)
        .strftime("lightmon.log.%Y%m%d%H00")
        .to_string()
}

fn open(directory: &Path, name: &str) -> Result<LineWriter, Error> {
    let path = directory.join(name);
    let open = || {
        // Non-blocking: the open of a FIFO would wait for a reader, before the FIFO can be refused.
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let is_torn = ends_within_a_line(&file)?;
        Ok(LineWriter::new(file, is_torn))
    };
    let lines = open().map_err(|cause| Error::Open {
        path: path.clone(),
        cause,
    })?;
    if let Err(error) = prune(directory, name) {
        tracing::warn!(%error, directory = %directory.display(), "can't delete old log files");
    }
    Ok(lines)
}

/// Whether the last line is incomplete: its writer was killed, or the disk was full.
fn ends_within_a_line(file: &File) -> io::Result<bool> {
    let mut last = [b'\n'];
    match file.metadata()?.len() {
        0 => {}
        length => file.read_exact_at(&mut last, length - 1)?,
    }
    Ok(last != [b'\n'])
}

fn prune(directory: &Path, current: &str) -> io::Result<()> {
    let mut old = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .to_str()
            .is_some_and(|name| is_log_name(name) && name != current)
            && entry.file_type()?.is_file()
        {
            old.push(name);
        }
    }
    old.sort_unstable_by(|a, b| b.cmp(a));
    for name in old.iter().skip(MAX_FILES - 1) {
        fs::remove_file(directory.join(name))?;
    }
    Ok(())
}

fn is_log_name(name: &str) -> bool {
    name.strip_prefix(NAME_PREFIX).is_some_and(|time| {
        time.len() == TIME_DIGITS && time.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use jiff::{SignedDuration, tz};

    use super::*;

    fn zone() -> TimeZone {
        // Half an hour off, like India.
        TimeZone::fixed(tz::Offset::from_seconds(5 * 3600 + 1800).unwrap())
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn each_hour_has_a_file_and_eight_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("var/log");
        let mut now = at("2026-11-23T15:04:05Z");
        let mut files = Files::open(&directory, zone(), now).unwrap();
        assert_eq!(
            fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
            0o750
        );

        // Other names, or not files: they are not deleted.
        let others = [
            "lightmon.log",
            "lightmon.log.20200101000",
            "lightmon.log.2020010100000",
            "lightmon.log.20200101000x",
            "lightmon.log.202001010000.gz",
            "xlightmon.log.202001010000",
        ];
        for other in others {
            fs::write(directory.join(other), "").unwrap();
        }
        fs::create_dir(directory.join("lightmon.log.200001010000")).unwrap();
        symlink("/dev/null", directory.join("lightmon.log.200001020000")).unwrap();

        for hour in 0..12 {
            for _ in 0..2 {
                let line = format!("hour {hour}\n");
                files.append(now, line.as_bytes(), &|| false).1.unwrap();
                now += SignedDuration::from_mins(25);
            }
            now += SignedDuration::from_mins(10);
        }
        // 15:04 UTC is 20:34 there; twelve hours later only the last eight are left.
        let mut expected: Vec<_> = others.map(str::to_owned).into();
        expected.extend([
            "lightmon.log.200001010000".to_owned(),
            "lightmon.log.200001020000".to_owned(),
        ]);
        expected.extend((0..8).map(|hour| format!("lightmon.log.20261124{hour:02}00")));
        expected.sort();
        assert_eq!(names(&directory), expected);
        let first = directory.join("lightmon.log.202611240000");
        assert_eq!(fs::read_to_string(&first).unwrap(), "hour 4\nhour 4\n");
        assert_eq!(
            fs::metadata(&first).unwrap().permissions().mode() & 0o777,
            0o640
        );
        files.finish().unwrap();
    }

    #[test]
    fn an_existing_file_is_continued_after_its_torn_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lightmon.log.202611232000");
        fs::write(&path, "one\nto").unwrap();
        for line in ["two\n", "three\n"] {
            let now = at("2026-11-23T15:04:05Z");
            let mut files = Files::open(directory.path(), zone(), now).unwrap();
            files.append(now, line.as_bytes(), &|| false).1.unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nto\ntwo\nthree\n");
    }

    #[test]
    fn symbolic_links_and_pipes_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("precious");
        fs::write(&target, "").unwrap();
        let now = at("2026-11-23T15:04:05Z");
        let path = directory.path().join("lightmon.log.202611232000");
        symlink(&target, &path).unwrap();
        let error = Files::open(directory.path(), zone(), now)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("lightmon.log.202611232000") && error.contains("symbolic link"),
            "{error}"
        );

        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = Files::open(directory.path(), zone(), now)
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a regular file"), "{error}");

        let error = Files::open(&target, zone(), now).unwrap_err().to_string();
        assert!(error.contains("precious"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let now = at("2026-11-23T15:04:05Z");
        let next = now + SignedDuration::from_hours(1);
        let mut files = Files::open(directory.path(), zone(), now).unwrap();
        let path = directory.path().join("lightmon.log.202611232100");
        fs::create_dir(&path).unwrap();
        let (written, result) = files.append(next, b"lost\n", &|| false);
        let error = result.unwrap_err();
        assert_eq!(written, 0);
        assert!(
            error.to_string().contains("lightmon.log.202611232100"),
            "{error}"
        );
        fs::remove_dir(&path).unwrap();
        files.append(next, b"kept\n", &|| false).1.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept\n");
    }
}
