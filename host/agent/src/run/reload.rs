//! Triggers the reload of plugins: on SIGHUP, and with `--watch` when their files change. Runs on a thread of its own, so that no
//! stage waits for it.

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

/// A file is complete if it has not changed for this time.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Kubernetes updates mounted files by replacing the link of this name in their folder.
const KUBERNETES_DATA_LINK: &str = "..data";

/// Starts the thread, which ends with the process. Each time `hangup` is set, it checks all files.
pub(super) fn start(mut reload: Reload, hangup: Stop, watch: bool) -> io::Result<()> {
    let watched = watch
        .then(|| Watched::new(reload.files()))
        .transpose()
        .map_err(|error| io::Error::other(format!("watch the folders of the plugins: {error}")))?;
    Builder::new().name("reload".to_owned()).spawn(move || {
        let mut changed: Option<Instant> = None;
        loop {
            let left = changed.map(|then| SETTLE_TIME.saturating_sub(then.elapsed()));
            if left == Some(Duration::ZERO) {
                changed = None;
                reload.run(ReloadReason::FileChanged);
            }
            match wait(&hangup, watched.as_ref(), left) {
                Ok(()) | Err(Errno::EINTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "plugin reload stopped");
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
    // Rounded up, so that the time is over when poll returns.
    let timeout = left.map_or(PollTimeout::NONE, |left| {
        PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
    });
    poll(&mut fds, timeout).map(|_| ())
}

/// Watches the folders of the files, and of the targets of links. A watch on a file would miss that the file is replaced.
struct Watched {
    inotify: Inotify,
    names: BTreeSet<OsString>,
}

impl Watched {
    fn new<'a>(files: impl Iterator<Item = &'a Path>) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let (mut names, mut folders) = (
            BTreeSet::from([KUBERNETES_DATA_LINK.into()]),
            BTreeSet::new(),
        );
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

    /// Whether one of the files changed since the last call.
    fn has_changed(&self) -> bool {
        let mut changed = false;
        while let Ok(events) = self.inotify.read_events() {
            if events.is_empty() {
                break;
            }
            // If the kernel's queue overflowed, any file may have changed.
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
    fn writes_renames_and_links_are_noticed_but_other_files_are_ignored() {
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
