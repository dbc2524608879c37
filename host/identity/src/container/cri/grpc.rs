//! Connects the gRPC clients to a unix socket with HTTP/2. tonic does the framing and the status codes.
//!
//! `tonic::transport::Channel` is not used: it reconnects by itself, so the watcher would not notice that the runtime has
//! gone, and it depends on connection pools and load balancing.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::UnixStream, time::timeout};
use tonic::{
    Code, Status,
    body::Body,
    client::GrpcService,
    codegen::{self, Bytes, StdError},
};
use tower_service::Service;

use super::api::{
    containerd::events_client::EventsClient, runtime::runtime_service_client::RuntimeServiceClient,
};

/// Longest message that is read. containerd sends at most this much.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long the runtime may take to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call failed. The server's text is shown with its control characters escaped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Timeout,
    #[error("the connection has ended")]
    Ended,
    #[error("gRPC status {code:?}: {message:?}")]
    Status { code: Code, message: String },
}

impl Error {
    /// Whether there is no socket.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the socket is there, but this process may not connect to it.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the server does not implement the method.
    pub fn is_unimplemented(&self) -> bool {
        matches!(
            self,
            Self::Status {
                code: Code::Unimplemented,
                ..
            }
        )
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status {
            code: status.code(),
            message: status.message().to_owned(),
        }
    }
}

/// Connects to the socket. The returned future drives the connection: calls make progress only while it is polled, and it
/// returns when the connection has ended.
///
/// # Errors
/// If nobody listens, or the server does not speak HTTP/2.
pub async fn connect(
    socket: &Path,
) -> Result<
    (
        Connection,
        impl Future<Output = hyper::Result<()>> + Send + use<>,
    ),
    Error,
> {
    handshake(UnixStream::connect(socket).await?).await
}

/// As [`connect`], on a stream that is connected already.
pub(super) async fn handshake(
    stream: UnixStream,
) -> Result<
    (
        Connection,
        impl Future<Output = hyper::Result<()>> + Send + use<>,
    ),
    Error,
> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = timeout(CALL_TIMEOUT, handshake)
        .await
        .map_err(|_| Error::Timeout)??;
    Ok((Connection(sender), connection))
}

/// An HTTP/2 connection for tonic clients. All clones use the same connection.
#[derive(Clone, Debug)]
pub struct Connection(SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.0.send_request(request);
        Box::pin(async move {
            let response = response.await?;
            match response.status() {
                StatusCode::OK => Ok(response),
                // tonic would report status 404 as a method that is not implemented.
                status => Err(format!("answered HTTP {status}, which is not gRPC").into()),
            }
        })
    }
}

/// A client of the CRI v1 API on this connection.
pub(super) fn runtime_client<C>(connection: C) -> RuntimeServiceClient<C>
where
    C: GrpcService<Body, Error: Into<StdError>>,
    C::ResponseBody: codegen::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
    RuntimeServiceClient::with_origin(connection, origin())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// A client of containerd's event service on this connection.
pub(super) fn events_client(connection: Connection) -> EventsClient<Connection> {
    EventsClient::with_origin(connection, origin()).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// Each HTTP/2 request needs a host. On a unix socket, the host has no meaning.
fn origin() -> Uri {
    Uri::from_static("http://localhost")
}

/// The answer to a call, if it comes within [`CALL_TIMEOUT`].
pub(super) async fn answer<A>(
    call: impl Future<Output = Result<tonic::Response<A>, Status>>,
) -> Result<A, Error> {
    let answer = timeout(CALL_TIMEOUT, call)
        .await
        .map_err(|_| Error::Timeout)?;
    Ok(answer?.into_inner())
}

#[cfg(test)]
mod tests;
