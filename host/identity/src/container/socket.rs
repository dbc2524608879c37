//! When to connect to a runtime's socket again: as soon as it appears, without looking for it again and again. Connects to nothing.

use std::{
    fmt::Display,
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::{debug, info, warn};

/// Pauses between attempts to connect: each twice as long as the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Attempts to talk to who listens on a socket.
pub(super) struct Attempts<'a> {
    socket: &'a Path,
    /// What is spoken there.
    api: &'static str,
    /// What it means when we may not connect, and what to do then.
    refused: &'static str,
    pause: Duration,
    warned: bool,
    begun: Instant,
}

impl<'a> Attempts<'a> {
    /// The first one begins now.
    pub(super) fn new(socket: &'a Path, api: &'static str, refused: &'static str) -> Self {
        Self {
            socket,
            api,
            refused,
            pause: PAUSES.0,
            warned: false,
            begun: Instant::now(),
        }
    }

    /// Says why the last one has ended, and waits until the next one is worth while.
    pub(super) async fn again(
        &mut self,
        connected: bool,
        error: impl Display,
        is_permission: bool,
    ) {
        let Self { socket, api, .. } = *self;
        if connected {
            info!(?socket, %error, "{api} connection lost, looking for it again");
            // Not for one that lets us in and throws us out at once.
            if self.begun.elapsed() >= self.pause {
                self.pause = PAUSES.0;
            }
        } else if is_permission {
            if !self.warned {
                warn!(?socket, "permission denied: {}", self.refused);
                self.warned = true;
            }
        } else if self.pause == PAUSES.0 {
            debug!(?socket, %error, "no {api} here yet");
        }
        wait(socket, self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.begun = Instant::now();
    }
}

/// How long to wait before connecting again: until the socket is there, when it is not; else for `pause`, since nobody says when
/// somebody listens again on one that is.
async fn wait(socket: &Path, pause: Duration) {
    if socket.exists() || appears(socket).await.is_err() {
        tokio::time::sleep(pause).await;
    }
}

/// Returns when there is such a file.
///
/// # Errors
/// When the kernel has no more inotify(7) instances or watches for us.
async fn appears(file: &Path) -> io::Result<()> {
    loop {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let watch = Watch(Inotify::init(flags)?);
        #[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor")]
        // SAFETY: the descriptor is the watch's own, open for as long as it lives, and always the same.
        let watch = unsafe { AsyncFd::register_with_interest(watch, Interest::READABLE) }?;
        let (folder, missing) = next(file);
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        watch.get_ref().0.add_watch(&folder, changes)?;
        // It may have come between the two.
        while !missing.exists() && folder.exists() {
            let mut ready = watch.readable().await?;
            let _ = ready.get_inner().0.read_events();
            ready.clear_ready();
        }
        if file.exists() {
            return Ok(());
        }
    }
}

/// What tokio can wait for.
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The nearest folder above it that is there, and what in it has to come first.
fn next(file: &Path) -> (PathBuf, PathBuf) {
    let mut missing = file;
    while let Some(folder) = missing.parent() {
        if folder.exists() {
            return (folder.to_owned(), missing.to_owned());
        }
        missing = folder;
    }
    (PathBuf::from("/"), file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_a_folder_that_is_not_there_yet() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("run/containerd");
        let file = folder.join("containerd.sock");
        let waiting = tokio::spawn({
            let file = file.clone();
            async move { appears(&file).await }
        });
        // Neighbours are no reason to go on.
        std::fs::write(root.path().join("other"), "").expect("a file");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(&file, "").expect("a file");
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .expect("in time")
            .expect("no panic")
            .expect("no error");
    }

    #[tokio::test]
    async fn one_that_is_there_is_tried_again_later() {
        let root = tempfile::tempdir().expect("a folder");
        let pause = Duration::from_millis(10);
        let began = std::time::Instant::now();
        wait(root.path(), pause).await;
        assert!(began.elapsed() >= pause);
    }
}
