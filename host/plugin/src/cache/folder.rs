//! A folder for files that nobody else may have touched. Knows nothing of what is in them.
//!
//! It is opened once and stays the same folder, whatever becomes of its path.

use std::{
    cmp::Reverse,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::sys::{stat::futimens, time::TimeSpec};

use crate::secure_fs;
pub(super) use crate::secure_fs::Error;

/// What the names of its files begin with: all others are left alone.
const PREFIX: &str = "lightmon-plugin-";

/// Most files; of the rest, those go first that were not used for the longest time.
const MOST_FILES: usize = 32;
/// Most bytes of all files together: some plugins made from Python or JavaScript, and many others.
const MOST_BYTES: u64 = 512 << 20;

/// One that only this user can write to.
#[derive(Debug)]
pub(super) struct Folder {
    handle: File,
}

impl Folder {
    /// Makes it, for this user only, where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // Its owner may be less trusted than this process.
        if is_elevated() {
            return Err(Error::Elevated);
        }
        Ok(Self {
            handle: secure_fs::folder(path)?,
        })
    }

    /// All of a file, if there is one, and notes that it is in use.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        let (file, metadata) = match secure_fs::file(&path, OpenOptions::new().read(true)) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if metadata.len() > MOST_BYTES {
            return Err(Error::TooLarge(MOST_BYTES));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        (&file).take(metadata.len()).read_to_end(&mut bytes)?;
        // Where that is not possible, the file only goes sooner.
        let _ = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
        Ok(Some(bytes))
    }

    /// Puts a file in place, whole or not at all, and deletes those that are too many then.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size as u64 > MOST_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let number = RandomState::new().hash_one(name);
        let temporary = self.path(&format!("{name}.{number:016x}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| fs::rename(&temporary, self.path(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.tidy(MOST_FILES, MOST_BYTES)
    }

    /// Deletes what was not used for the longest time, until no more is left than that. Files that a process left
    /// unfinished count and go like all others.
    fn tidy(&self, files: usize, bytes: u64) -> io::Result<()> {
        let mut all: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(self.descriptor())?
            .filter_map(Result::ok)
            .filter(|entry| {
                entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(PREFIX.as_bytes())
            })
            // Another process may have deleted it meanwhile.
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect();
        all.sort_unstable_by_key(|(used, ..)| Reverse(*used));
        let mut sum = 0;
        for (i, (_, size, path)) in all.iter().enumerate() {
            sum += size;
            if i >= files || sum > bytes {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.descriptor().join(format!("{PREFIX}{name}"))
    }

    fn descriptor(&self) -> PathBuf {
        secure_fs::path_of(&self.handle)
    }
}

/// Whether the kernel has given this program more rights than the one who started it has (AT_SECURE, see getauxval(3)).
/// Where that can't be known, it may be so.
fn is_elevated() -> bool {
    const AT_SECURE: usize = 23;
    const WORD: usize = size_of::<usize>();
    let words: Vec<usize> = match fs::read("/proc/self/auxv") {
        Ok(bytes) => bytes
            .as_chunks::<WORD>()
            .0
            .iter()
            .map(|word| usize::from_ne_bytes(*word))
            .collect(),
        Err(_) => return true,
    };
    let secure = words.chunks_exact(2).find(|pair| pair[0] == AT_SECURE);
    secure.is_none_or(|pair| pair[1] != 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(folder: &Folder, name: &str, used: u64) {
        folder.write(name, &[b"0123", b"456789"]).unwrap();
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(used);
        let file = File::open(folder.path(name)).unwrap();
        file.set_modified(used).unwrap();
    }

    #[test]
    fn what_was_used_last_stays() {
        let path = tempfile::tempdir().unwrap();
        fs::write(path.path().join("notes.txt"), "not its business").unwrap();
        let folder = Folder::open(path.path()).unwrap();
        let left = || {
            let names = ["a", "b", "c", "d.00ff"];
            names.map(|name| folder.path(name).exists())
        };
        for (name, used) in [("a", 3), ("b", 1), ("c", 4), ("d.00ff", 2)] {
            write(&folder, name, used);
        }
        folder.tidy(4, 40).unwrap();
        assert_eq!(left(), [true; 4]);
        folder.tidy(4, 39).unwrap();
        assert_eq!(left(), [true, false, true, true]);
        folder.tidy(2, 40).unwrap();
        assert_eq!(left(), [true, false, true, false]);
        assert_eq!(
            folder.read("a").unwrap().as_deref(),
            Some(&b"0123456789"[..])
        );
        folder.tidy(1, 40).unwrap();
        assert_eq!(left(), [true, false, false, false], "reading is using");
        assert!(path.path().join("notes.txt").exists());
    }

    #[test]
    fn no_more_than_the_most_is_kept() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path()).unwrap();
        for i in 0..MOST_FILES + 3 {
            folder.write(&i.to_string(), &[b"x"]).unwrap();
        }
        assert_eq!(fs::read_dir(path.path()).unwrap().count(), MOST_FILES);
    }

    #[test]
    fn it_stays_the_folder_that_it_was() {
        let path = tempfile::tempdir().unwrap();
        let (here, there) = (path.path().join("here"), path.path().join("there"));
        let folder = Folder::open(&here).unwrap();
        fs::rename(&here, &there).unwrap();
        fs::create_dir(&here).unwrap();
        write(&folder, "a", 1);
        assert!(there.join("lightmon-plugin-a").exists());
        assert!(folder.read("a").unwrap().is_some());
        assert!(folder.read("b").unwrap().is_none());
    }
}
