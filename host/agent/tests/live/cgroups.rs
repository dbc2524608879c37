//! A cgroup for the test in each hierarchy, for the daemons that the test starts. Removed when dropped.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(crate) struct Cgroups {
    name: String,
    folders: Vec<PathBuf>,
}

impl Cgroups {
    /// Called `lightmontest`, the test's pid and `suffix`.
    pub(crate) fn new(suffix: &str) -> Self {
        let name = format!("lightmontest{}{suffix}", std::process::id());
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mounts = mounts.lines().map(|line| line.split(' '));
        let folders: Vec<_> = mounts
            .filter_map(|mut fields| {
                let (place, kind) = (fields.nth(1)?, fields.next()?);
                ["cgroup", "cgroup2"]
                    .contains(&kind)
                    .then(|| Path::new(place).join(&name))
            })
            .collect();
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            // Version 1 accepts no process before the cpuset is set.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let of_parent = folder.parent().unwrap().join(file);
                if let Ok(text) = fs::read_to_string(of_parent) {
                    fs::write(folder.join(file), text).unwrap();
                }
            }
        }
        Self { name, folders }
    }

    /// As runtimes write it.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(folder);
        }
    }
}

/// With all below it; a cgroup's files can't be removed, and go with it.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
