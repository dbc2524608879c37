//! Opens files and directories that only their owner can write. Checks type, owner and mode of the opened file, not of a path.
//!
//! A directory is opened once and stays the same, even if its path is replaced: its files are reached through the descriptor, as
//! `/proc/self/fd/N/NAME`.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, libc, unistd::geteuid};

/// Why a file or a directory is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("can't be used: {0}")]
    Io(#[from] io::Error),
    #[error("is a symbolic link")]
    Link,
    #[error("is not a directory")]
    NotADir,
    #[error("is not a regular file")]
    NotAFile,
    #[error("belongs to another user (uid {0})")]
    Owner(u32),
    #[error("can be written by others (mode {0:03o})")]
    Writable(u32),
    #[error("is larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
    #[error(
        "can't be trusted: lightmon has more rights than the user who started it, by setuid or file capabilities"
    )]
    Elevated,
}

/// Opens a directory, and creates it for this user only if it is missing.
pub(crate) fn open_dir(path: &Path) -> Result<File, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Removes a slash at the end, which would follow a link.
    let path: PathBuf = path.components().collect();
    let (dir, metadata) = open(&path, OpenOptions::new().read(true))?;
    match metadata.is_dir() {
        true => Ok(dir),
        false => Err(Error::NotADir),
    }
}

/// A path that leads to the opened directory.
pub(crate) fn dir_path(dir: &File) -> PathBuf {
    format!("/proc/self/fd/{}", dir.as_raw_fd()).into()
}

/// Opens a regular file. Links and files that others can write are errors.
pub(crate) fn open_file(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), Error> {
    match open(path, options)? {
        (file, metadata) if metadata.is_file() => Ok((file, metadata)),
        _ => Err(Error::NotAFile),
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), Error> {
    // O_NONBLOCK, since opening a pipe would wait for the other end.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => Error::Link,
            // The file is a pipe without a reader.
            Some(libc::ENXIO) => Error::NotAFile,
            _ => Error::Io(error),
        })?;
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(Error::Owner(metadata.uid()));
    }
    // An access control list that lets others write sets the group's bits.
    match metadata.mode() & 0o777 {
        mode if mode & 0o022 != 0 => Err(Error::Writable(mode)),
        _ => Ok((file, metadata)),
    }
}
