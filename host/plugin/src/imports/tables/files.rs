//! Reads the files of tables while that is allowed, and parses them later, where fewer rights are left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use lightmon_thread::lock;

use super::Table;
use crate::{error::Reason, file, limits::Limits, spec::Spec};

/// The files of all granted tables.
pub(crate) struct Files(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the path that the user has given: the limit of bytes, and the canonical path.
    paths: BTreeMap<PathBuf, (u64, PathBuf)>,
    /// By the canonical path.
    tables: BTreeMap<PathBuf, Entry>,
}

struct Entry {
    version: Option<Version>,
    content: Content,
}

enum Content {
    Bytes(Result<Vec<u8>, String>),
    Parsed(Arc<Table>),
}

impl Files {
    /// Reads all files.
    pub(crate) fn read(specs: &[Spec], limits: &Limits) -> Self {
        let mut state = State::default();
        for spec in specs {
            let limit = spec.limits.over(limits).table;
            for path in spec.tables.values() {
                let file = canonical(path);
                state.tables.entry(file.clone()).or_insert_with(|| Entry {
                    version: Version::of(path),
                    content: Content::Bytes(read(path, limit)),
                });
                state.paths.insert(path.clone(), (limit, file));
            }
        }
        Self(Mutex::new(state))
    }

    /// Reads the files that have changed, and returns their paths. A file that can't be read keeps its old content; `refused` is
    /// called with the reason.
    pub(crate) fn read_changed(&self, mut refused: impl FnMut(&Path, String)) -> BTreeSet<PathBuf> {
        let mut state = lock(&self.0);
        let State { paths, tables } = &mut *state;
        // Added to `tables` at the end: a file with two paths has changed for both.
        let (mut changed, mut new) = (BTreeSet::new(), BTreeMap::new());
        for (path, (limit, file)) in &mut *paths {
            let (now, version) = (canonical(path), Version::of(path));
            let before = tables.get(&now).and_then(|entry| entry.version);
            if now == *file && version == before {
                continue;
            }
            if !new.contains_key(&now) {
                match read(path, *limit) {
                    Ok(bytes) => {
                        let content = Content::Bytes(Ok(bytes));
                        new.insert(now.clone(), Entry { version, content });
                    }
                    Err(reason) => {
                        refused(path, reason);
                        continue;
                    }
                }
            }
            *file = now;
            changed.insert(path.clone());
        }
        tables.extend(new);
        // Files without a path are freed when no plugin uses their table.
        tables.retain(|file, _| paths.values().any(|(_, used)| used == file));
        changed
    }

    /// The table of a file. Parses the file if it was not parsed yet.
    pub(crate) fn table(&self, path: &Path) -> Result<Arc<Table>, String> {
        let mut state = lock(&self.0);
        let State { paths, tables } = &mut *state;
        let entry = paths.get(path).and_then(|(_, file)| tables.get_mut(file));
        let Some(Entry { content, .. }) = entry else {
            return Err("was not read at the start".to_owned());
        };
        let bytes = match content {
            Content::Parsed(table) => return Ok(table.clone()),
            Content::Bytes(Ok(bytes)) => std::mem::take(bytes),
            Content::Bytes(Err(cause)) => return Err(cause.clone()),
        };
        let table = Table::new(path, bytes).map(Arc::new);
        *content = match &table {
            Ok(table) => Content::Parsed(table.clone()),
            Err(cause) => Content::Bytes(Err(cause.clone())),
        };
        table
    }
}

/// Tells whether a file has changed, without reading the file.
#[derive(Clone, Copy, PartialEq)]
struct Version {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let of = |it: Metadata| Self {
            file: (it.dev(), it.ino()),
            size: it.size(),
            modified: (it.mtime(), it.mtime_nsec()),
            changed: (it.ctime(), it.ctime_nsec()),
        };
        path.metadata().ok().map(of)
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Reads a table's file. Some errors need other words than a plugin's file, and an empty file is an error of its format.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    file::read(path, limit).or_else(|reason| match reason {
        Reason::Empty => Ok(Vec::new()),
        Reason::NotAFile => Err("is not a regular file".to_owned()),
        Reason::TooLarge { limit } => Err(format!("is larger than {} MiB", limit >> 20)),
        reason => Err(reason.to_string()),
    })
}
