//! Stays connected to a runtime's socket: connects, runs a session, and connects again after the session has ended, as soon as
//! the socket appears. Knows no runtime's API.

use std::{
    convert::Infallible,
    fmt::Display,
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UnixStream,
    sync::mpsc,
};
use tracing::{debug, info, warn};

use super::Runtime;

/// The shortest and the longest pause between two attempts to connect; each pause is twice as long as the one before.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What is done with a connection to one kind of runtime.
pub(super) trait Session {
    /// The API's name in the log.
    const API: &'static str;
    /// What it means if lightmon may not connect, and what to do then.
    const IF_DENIED: &'static str;
    type Error: Display + Send;

    /// Watches the runtime until the connection ends.
    fn run(
        &self,
        stream: UnixStream,
        attempt: &mut Attempt<'_>,
    ) -> impl Future<Output = Result<Infallible, Self::Error>> + Send;
}

/// One attempt to watch a runtime: from connecting to the end of the connection.
pub(super) struct Attempt<'a> {
    pub(super) socket: &'a Path,
    pub(super) runtime: &'a Runtime,
    requests: Option<mpsc::Receiver<Arc<str>>>,
    is_connected: bool,
}

/// Why an attempt has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure<E> {
    #[error(transparent)]
    Connect(io::Error),
    #[error("{0}")]
    Session(E),
}

impl<E> Failure<E> {
    /// Whether the socket is there, but this process may not connect to it.
    pub(super) fn is_permission(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl<'a> Attempt<'a> {
    /// Without `requests`, the runtime can be asked as soon as somebody listens.
    pub(super) fn new(
        socket: &'a Path,
        runtime: &'a Runtime,
        requests: Option<mpsc::Receiver<Arc<str>>>,
    ) -> Self {
        Self {
            socket,
            runtime,
            requests,
            is_connected: false,
        }
    }

    /// Connects and runs the session, until it fails.
    pub(super) async fn run<S: Session>(&mut self, session: &S) -> Failure<S::Error> {
        match UnixStream::connect(self.socket).await {
            Ok(stream) => {
                let Err(error) = session.run(stream, self).await;
                Failure::Session(error)
            }
            Err(error) => Failure::Connect(error),
        }
    }

    /// The ids of the containers that the runtime is to be asked for.
    pub(super) fn requests(&mut self) -> mpsc::Receiver<Arc<str>> {
        let requests = self.requests.take();
        requests.unwrap_or_else(|| self.runtime.connect())
    }

    /// The runtime has answered.
    pub(super) fn set_connected(&mut self) {
        self.is_connected = true;
    }
}

/// Makes one attempt after the other, for as long as it is polled. Without a socket, it waits for the socket; while nobody
/// listens there, it tries ever more rarely. The first attempt takes `requests`.
pub(super) async fn watch<S: Session>(
    session: S,
    runtime: Runtime,
    requests: mpsc::Receiver<Arc<str>>,
    socket: &Path,
) {
    let api = S::API;
    let mut requests = Some(requests);
    let mut pause = RETRY_INTERVALS.0;
    let mut has_warned = false;
    loop {
        let begun = Instant::now();
        let mut attempt = Attempt::new(socket, &runtime, requests.take());
        let error = attempt.run(&session).await;
        if attempt.is_connected {
            info!(?socket, %error, "{api} connection lost, looking for it again");
            // Not for one that lets us in and throws us out at once.
            if begun.elapsed() >= pause {
                pause = RETRY_INTERVALS.0;
            }
        } else if error.is_permission() {
            if !has_warned {
                warn!(?socket, "permission denied: {}", S::IF_DENIED);
                has_warned = true;
            }
        } else if pause == RETRY_INTERVALS.0 {
            debug!(?socket, %error, "no {api} here yet");
        }
        // Nobody answers requests during the pause.
        drop(attempt);
        wait(socket, pause).await;
        pause = (pause * 2).min(RETRY_INTERVALS.1);
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
