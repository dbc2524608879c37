//! Watches a runtime through its socket: connects, runs a session, and connects again when the session has ended.
//!
//! If the socket does not exist, it waits for it with inotify(7). Knows the API of no runtime.

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

use super::runtime::Runtime;

/// The first pause between two attempts to connect. Each pause is twice as long as the one before.
const MIN_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to connect.
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// What is done with a connection to one kind of runtime.
pub(super) trait Session {
    /// The name of the API in the log.
    const API: &'static str;
    /// The consequence of a permission error, and what to do about it.
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
    /// Without `requests`, the runtime can be asked once it is connected.
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

    /// The ids of the containers that the session is asked to look up.
    pub(super) fn requests(&mut self) -> mpsc::Receiver<Arc<str>> {
        let requests = self.requests.take();
        requests.unwrap_or_else(|| self.runtime.open_requests())
    }

    /// To be called when the runtime has answered.
    pub(super) fn set_connected(&mut self) {
        self.is_connected = true;
    }
}

/// Makes one attempt after another, for as long as it is polled. The first attempt takes `requests`.
pub(super) async fn watch<S: Session>(
    session: S,
    runtime: Runtime,
    requests: mpsc::Receiver<Arc<str>>,
    socket: &Path,
) {
    let api = S::API;
    let mut requests = Some(requests);
    let mut pause = MIN_RETRY_INTERVAL;
    let mut has_warned = false;
    loop {
        let begun = Instant::now();
        let mut attempt = Attempt::new(socket, &runtime, requests.take());
        let error = attempt.run(&session).await;
        if attempt.is_connected {
            info!(?socket, %error, "{api} connection lost, looking for it again");
            // A runtime that accepts connections and closes them at once is not tried more often.
            if begun.elapsed() >= pause {
                pause = MIN_RETRY_INTERVAL;
            }
        } else if error.is_permission() {
            if !has_warned {
                warn!(?socket, "permission denied: {}", S::IF_DENIED);
                has_warned = true;
            }
        } else if pause == MIN_RETRY_INTERVAL {
            debug!(?socket, %error, "no {api} here yet");
        }
        // Nobody answers requests during the pause.
        drop(attempt);
        wait(socket, pause).await;
        pause = (pause * 2).min(MAX_RETRY_INTERVAL);
    }
}

/// Waits before the next attempt. If the socket does not exist, it waits for the socket. Else it waits for `pause`, because the
/// kernel does not tell when a process listens again.
async fn wait(socket: &Path, pause: Duration) {
    if socket.exists() || appears(socket).await.is_err() {
        tokio::time::sleep(pause).await;
    }
}

/// Returns when the file exists.
///
/// # Errors
/// If the limit on inotify(7) instances or watches is reached.
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
        // The file may have appeared before the watch was added.
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

/// Makes an inotify instance usable with tokio.
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The nearest folder above the file that exists, and the entry of it that has to appear next.
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
    async fn a_socket_is_noticed_even_if_its_folder_is_missing() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("run/containerd");
        let file = folder.join("containerd.sock");
        let waiting = tokio::spawn({
            let file = file.clone();
            async move { appears(&file).await }
        });
        // Another file in the folder does not count.
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
    async fn an_existing_socket_is_tried_again_after_the_pause() {
        let root = tempfile::tempdir().expect("a folder");
        let pause = Duration::from_millis(10);
        let began = std::time::Instant::now();
        wait(root.path(), pause).await;
        assert!(began.elapsed() >= pause);
    }
}
