//! Files and folders that nobody else may have touched. What a file is, and whose, is asked of the opened file, not of a name.
//!
//! A folder is opened once and stays the same, whatever becomes of its path: its files are reached through the descriptor, as
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

/// Why a folder or a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("can't be used: {0}")]
    Io(#[from] io::Error),
    #[error("is a symbolic link")]
    Link,
    #[error("is no folder")]
    NoFolder,
    #[error("is no regular file")]
    NoFile,
    #[error("belongs to another user (uid {0})")]
    Owner(u32),
    #[error("can be written by others (mode {0:03o})")]
    Writable(u32),
    #[error("is larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
    #[error(
        "can't be trusted: lightmon has more rights than who started it, by setuid or file capabilities"
    )]
    Elevated,
}

/// Opens a folder, and makes it, for this user only, where it is missing.
pub(super) fn folder(path: &Path) -> Result<File, Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Without a slash at the end, which would follow a link.
    let path: PathBuf = path.components().collect();
    let (folder, metadata) = open(&path, OpenOptions::new().read(true))?;
    match metadata.is_dir() {
        true => Ok(folder),
        false => Err(Error::NoFolder),
    }
}

/// Where a folder's files are.
pub(super) fn path_of(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

/// Opens a regular file. What is none, or a link, or can be changed by others, is refused.
pub(super) fn file(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), Error> {
    match open(path, options)? {
        (file, metadata) if metadata.is_file() => Ok((file, metadata)),
        _ => Err(Error::NoFile),
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<(File, Metadata), Error> {
    // O_NONBLOCK: opening a pipe would wait for the other end.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = options
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => Error::Link,
            // A pipe without a reader.
            Some(libc::ENXIO) => Error::NoFile,
            _ => Error::Io(error),
        })?;
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(Error::Owner(metadata.uid()));
    }
    // An access list that lets others write shows in the group's bits.
    match metadata.mode() & 0o777 {
        mode if mode & 0o022 != 0 => Err(Error::Writable(mode)),
        _ => Ok((file, metadata)),
    }
}
