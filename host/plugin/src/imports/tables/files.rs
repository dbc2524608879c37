//! The files of tables: read where that is allowed, looked at where nothing else is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    super::super::{Limits, Reason, Spec, load},
    Table,
};
use lightmon_thread::lock;

/// All files that were granted.
pub(crate) struct Files(Mutex<Granted>);

#[derive(Default)]
struct Granted {
    /// By the name that the user has given: most bytes, and the file that it stands for.
    names: BTreeMap<PathBuf, (u64, PathBuf)>,
    /// Whatever way a file is named by, it is one table.
    tables: BTreeMap<PathBuf, Entry>,
}

struct Entry {
    stamp: Option<Stamp>,
    state: State,
}

enum State {
    Read(Result<Vec<u8>, String>),
    Ready(Arc<Table>),
}

impl Files {
    /// Reads them.
    pub(crate) fn read(specs: &[Spec], limits: &Limits) -> Self {
        let mut granted = Granted::default();
        for spec in specs {
            let limit = spec.limits.over(limits).table;
            for path in spec.tables.values() {
                let file = file_of(path);
                granted.tables.entry(file.clone()).or_insert_with(|| Entry {
                    stamp: Stamp::of(path),
                    state: State::Read(read(path, limit)),
                });
                granted.names.insert(path.clone(), (limit, file));
            }
        }
        Self(Mutex::new(granted))
    }

    /// Reads those again that are other files than before, and gives their names. One that can't be read stays what it was,
    /// and is told to `refused` with the reason.
    pub(crate) fn read_changed(&self, mut refused: impl FnMut(&Path, String)) -> BTreeSet<PathBuf> {
        let mut granted = lock(&self.0);
        let Granted { names, tables } = &mut *granted;
        // Apart until all names were looked at: a file that has two has changed for both.
        let (mut changed, mut anew) = (BTreeSet::new(), BTreeMap::new());
        for (path, (limit, file)) in &mut *names {
            let (now, stamp) = (file_of(path), Stamp::of(path));
            let before = tables.get(&now).and_then(|entry| entry.stamp);
            if now == *file && stamp == before {
                continue;
            }
            if !anew.contains_key(&now) {
                match read(path, *limit) {
                    Ok(bytes) => {
                        let state = State::Read(Ok(bytes));
                        anew.insert(now.clone(), Entry { stamp, state });
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
        tables.extend(anew);
        // What nobody names any more goes with the plugins that use it.
        tables.retain(|file, _| names.values().any(|(_, named)| named == file));
        changed
    }

    /// The table in that file.
    pub(crate) fn table(&self, path: &Path) -> Result<Arc<Table>, String> {
        let mut granted = lock(&self.0);
        let Granted { names, tables } = &mut *granted;
        let entry = names.get(path).and_then(|(_, file)| tables.get_mut(file));
        let Some(Entry { state, .. }) = entry else {
            return Err("was not read at the start".to_owned());
        };
        let bytes = match state {
            State::Ready(table) => return Ok(table.clone()),
            State::Read(Ok(bytes)) => std::mem::take(bytes),
            State::Read(Err(cause)) => return Err(cause.clone()),
        };
        let table = Table::new(path, bytes).map(Arc::new);
        *state = match &table {
            Ok(table) => State::Ready(table.clone()),
            Err(cause) => State::Read(Err(cause.clone())),
        };
        table
    }
}

/// What tells one version of a file from the next without reading it.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
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

fn file_of(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// As a plugin's file is read; what is in an empty one, or how to make it smaller, is another matter.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    load::read(path, limit).or_else(|reason| match reason {
        Reason::Empty => Ok(Vec::new()),
        Reason::NotAFile => Err("is not a regular file".to_owned()),
        Reason::TooLarge { limit } => Err(format!("is larger than {} MiB", limit >> 20)),
        reason => Err(reason.to_string()),
    })
}
