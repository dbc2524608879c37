//! When plugins are loaded again: on SIGHUP, and with `--watch` when something has happened to their files. Only says when; a
//! thread of its own, so that nobody waits for it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread::Builder,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
};

use lightmon_plugin_host::{Reload, ReloadReason};
use lightmon_thread::Stop;

/// A file that nothing has happened to for so long is whole.
const QUIET: Duration = Duration::from_millis(200);

/// Kubernetes changes mounted files by putting another link of this name in their folder.
const KUBERNETES: &str = "..data";

/// Starts the thread, which ends with the process. Each time `hangup` is set, all files are looked at.
pub(super) fn start(mut reload: Reload, hangup: Stop, watch: bool) -> io::Result<()> {
    let watched = watch
        .then(|| Watched::new(reload.files()))
        .transpose()
        .map_err(|error| io::Error::other(format!("watch the plugins' folders: {error}")))?;
    Builder::new().name("reload".to_owned()).spawn(move || {
        let mut changed: Option<Instant> = None;
        loop {
            let left = changed.map(|then| QUIET.saturating_sub(then.elapsed()));
            if left == Some(Duration::ZERO) {
                changed = None;
                reload.run(ReloadReason::FileChanged);
            }
            match wait(&hangup, watched.as_ref(), left) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "plugins are not loaded again any more");
                    return;
                }
            }
            if hangup.take() {
                reload.run(ReloadReason::Requested);
            }
            if watched.as_ref().is_some_and(Watched::has_changed) {
                changed = Some(Instant::now());
            }
        }
    })?;
    Ok(())
}

fn wait(hangup: &Stop, watched: Option<&Watched>, left: Option<Duration>) -> Result<(), Errno> {
    let mut fds = vec![PollFd::new(hangup.as_fd(), PollFlags::POLLIN)];
    fds.extend(watched.map(|watched| PollFd::new(watched.inotify.as_fd(), PollFlags::POLLIN)));
    // Rounded up, so that it is over then.
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    poll(&mut fds, timeout).map(|_| ())
}

/// The folders of the files, since a file that is put in another's place is another file; and those that links lead to.
struct Watched {
    inotify: Inotify,
    names: BTreeSet<OsString>,
}

impl Watched {
    fn new<'a>(files: impl Iterator<Item = &'a Path>) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let (mut names, mut folders) = (BTreeSet::from([KUBERNETES.into()]), BTreeSet::new());
        for file in files {
            for path in [Some(file.to_owned()), file.canonicalize().ok()]
                .into_iter()
                .flatten()
            {
                names.extend(path.file_name().map(OsString::from));
                folders.insert(match path.parent() {
                    Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                    _ => PathBuf::from("."),
                });
            }
        }
        for folder in folders {
            let changes = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_MODIFY
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_TO;
            inotify.add_watch(&folder, changes | AddWatchFlags::IN_ONLYDIR)?;
        }
        Ok(Self { inotify, names })
    }

    /// Whether something has happened to one of the files since it was last asked.
    fn has_changed(&self) -> bool {
        let mut changed = false;
        while let Ok(events) = self.inotify.read_events() {
            if events.is_empty() {
                break;
            }
            // When there was more than the kernel has kept, it may have been anything.
            changed |= events.iter().any(|event| {
                event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)
                    || event
                        .name
                        .as_ref()
                        .is_some_and(|name| self.names.contains(name))
            });
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writing_moving_and_linking_are_seen_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("target")).unwrap();
        fs::write(path("target/b.wasm"), "1").unwrap();
        std::os::unix::fs::symlink(path("target/b.wasm"), path("link.wasm")).unwrap();
        let files = [path("a.wasm"), path("link.wasm")];
        let watched = Watched::new(files.iter().map(|file| &**file)).unwrap();
        assert!(!watched.has_changed());
        fs::write(path("other"), "1").unwrap();
        assert!(!watched.has_changed());
        fs::write(path("a.wasm"), "1").unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
        fs::rename(path("other"), path("a.wasm")).unwrap();
        assert!(watched.has_changed());
        fs::write(path("target/b.wasm"), "2").unwrap();
        assert!(watched.has_changed());
        fs::remove_file(path("a.wasm")).unwrap();
        assert!(!watched.has_changed());
    }
}
