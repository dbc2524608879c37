//! The directory of the cache: only its owner can write its files. Limits their number and size; knows nothing of their content.
//!
//! The directory is opened once and stays the same, even if its path is renamed or replaced.

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

/// The start of the names of the cache's files; all other files are left alone.
const FILE_PREFIX: &str = "lightmon-plugin-";

/// The number of files; the least recently used ones are deleted first.
const MAX_FILES: usize = 32;
/// Bytes of all files together: enough for some plugins made from Python or JavaScript, and many others.
const MAX_BYTES: u64 = 512 << 20;

/// A directory that only this user can write to.
#[derive(Debug)]
pub(super) struct CacheDir {
    handle: File,
}

impl CacheDir {
    /// Opens the directory, and creates it for this user only if it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // The owner of the directory can be less trusted than this process.
        if is_elevated() {
            return Err(Error::Elevated);
        }
        Ok(Self {
            handle: secure_fs::open_dir(path)?,
        })
    }

    /// Reads a file, if it exists, and marks it as used.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        let (file, metadata) = match secure_fs::open_file(&path, OpenOptions::new().read(true)) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if metadata.len() > MAX_BYTES {
            return Err(Error::TooLarge(MAX_BYTES));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        (&file).take(metadata.len()).read_to_end(&mut bytes)?;
        // If this fails, the file is only deleted sooner.
        let _ = futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW);
        Ok(Some(bytes))
    }

    /// Writes a file atomically, and deletes files that are over the limits.
    pub(super) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        if size as u64 > MAX_BYTES {
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
        self.delete_old(MAX_FILES, MAX_BYTES)
    }

    /// Deletes the least recently used files until the limits hold. Files that a process left unfinished count like all others.
    fn delete_old(&self, files: usize, bytes: u64) -> io::Result<()> {
        let mut all: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(self.descriptor())?
            .filter_map(Result::ok)
            .filter(|entry| {
                entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(FILE_PREFIX.as_bytes())
            })
            // Another process may have deleted the file meanwhile.
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
        self.descriptor().join(format!("{FILE_PREFIX}{name}"))
    }

    fn descriptor(&self) -> PathBuf {
        secure_fs::dir_path(&self.handle)
    }
}

/// Whether the kernel has given this program more rights than the user who started it has (AT_SECURE, see getauxval(3)).
/// True if that can't be found out.
fn is_elevated() -> bool {
    const AT_SECURE: usize = 23;
    const WORD_BYTES: usize = size_of::<usize>();
    let words: Vec<usize> = match fs::read("/proc/self/auxv") {
        Ok(bytes) => bytes
            .as_chunks::<WORD_BYTES>()
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

    fn write(dir: &CacheDir, name: &str, used: u64) {
        dir.write(name, &[b"0123", b"456789"]).unwrap();
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(used);
        let file = File::open(dir.path(name)).unwrap();
        file.set_modified(used).unwrap();
    }

    #[test]
    fn the_least_recently_used_files_are_deleted() {
        let path = tempfile::tempdir().unwrap();
        fs::write(path.path().join("notes.txt"), "not of the cache").unwrap();
        let dir = CacheDir::open(path.path()).unwrap();
        let left = || {
            let names = ["a", "b", "c", "d.00ff"];
            names.map(|name| dir.path(name).exists())
        };
        for (name, used) in [("a", 3), ("b", 1), ("c", 4), ("d.00ff", 2)] {
            write(&dir, name, used);
        }
        dir.delete_old(4, 40).unwrap();
        assert_eq!(left(), [true; 4]);
        dir.delete_old(4, 39).unwrap();
        assert_eq!(left(), [true, false, true, true]);
        dir.delete_old(2, 40).unwrap();
        assert_eq!(left(), [true, false, true, false]);
        assert_eq!(dir.read("a").unwrap().as_deref(), Some(&b"0123456789"[..]));
        dir.delete_old(1, 40).unwrap();
        assert_eq!(
            left(),
            [true, false, false, false],
            "reading marks a file as used"
        );
        assert!(path.path().join("notes.txt").exists());
    }

    #[test]
    fn write_deletes_files_over_the_limit() {
        let path = tempfile::tempdir().unwrap();
        let dir = CacheDir::open(path.path()).unwrap();
        for i in 0..MAX_FILES + 3 {
            dir.write(&i.to_string(), &[b"x"]).unwrap();
        }
        assert_eq!(fs::read_dir(path.path()).unwrap().count(), MAX_FILES);
    }

    #[test]
    fn the_directory_stays_the_same_when_its_path_is_replaced() {
        let path = tempfile::tempdir().unwrap();
        let (here, there) = (path.path().join("here"), path.path().join("there"));
        let dir = CacheDir::open(&here).unwrap();
        fs::rename(&here, &there).unwrap();
        fs::create_dir(&here).unwrap();
        write(&dir, "a", 1);
        assert!(there.join("lightmon-plugin-a").exists());
        assert!(dir.read("a").unwrap().is_some());
        assert!(dir.read("b").unwrap().is_none());
    }
}
