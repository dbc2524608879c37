//! The connection that the gRPC clients use: HTTP/2 on a unix socket. tonic does the framing and the status codes.
//!
//! Not `tonic::transport::Channel`: it reconnects on its own, so nobody would notice that the runtime has gone,
//! and it brings a connection pool, load balancing and their dependencies.

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

/// Longest message that is read: the most that containerd sends.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How long the runtime may take to answer a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong with a call. What the server says is shown with its control characters escaped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
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

    /// Whether the server does not have the method.
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

/// Connects to the socket. The second value drives the connection: it must be polled for anything to happen, and it
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

/// An HTTP/2 connection, for a tonic client; all clones use the same connection.
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
                // tonic would take 404 for a method that is not implemented.
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

/// HTTP/2 needs a host in each request; on a unix socket it has no meaning.
fn origin() -> Uri {
    Uri::from_static("http://localhost")
}

/// The answer to a call, if it comes in time.
pub(super) async fn answer<A>(
    call: impl Future<Output = Result<tonic::Response<A>, Status>>,
) -> Result<A, Error> {
    let answer = timeout(CALL_TIMEOUT, call)
        .await
        .map_err(|_| Error::Timeout)?;
    Ok(answer?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        future::{Ready, ready},
    };

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::{HeaderMap, body::Frame, header::HeaderName};
    use prost::Message as _;

    use super::{
        super::api::runtime::{VersionRequest, VersionResponse},
        *,
    };

    /// A server that answers each call with these bytes, in parts, and with these trailers.
    #[derive(Clone)]
    struct Server {
        parts: Vec<Bytes>,
        trailers: HeaderMap,
    }

    impl Server {
        fn new(bytes: &[u8], part: usize, trailers: &[(&'static str, &'static str)]) -> Self {
            let header = |&(name, value): &(&'static str, &'static str)| {
                let value = value.parse().expect("a header");
                (HeaderName::from_static(name), value)
            };
            Self {
                parts: bytes.chunks(part).map(Bytes::copy_from_slice).collect(),
                trailers: trailers.iter().map(header).collect(),
            }
        }

        async fn version(self) -> Result<VersionResponse, Error> {
            answer(runtime_client(self).version(VersionRequest {})).await
        }
    }

    impl Service<Request<Body>> for Server {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let Self { parts, trailers } = self.clone();
            let frames = parts.into_iter().map(Frame::data);
            let frames = frames.chain([Frame::trailers(trailers)]);
            let frames = frames.map(Ok::<_, Infallible>).collect::<Vec<_>>();
            ready(Ok(Response::new(Body::new(StreamBody::new(stream::iter(
                frames,
            ))))))
        }
    }

    const OK: &[(&str, &str)] = &[("grpc-status", "0")];

    /// A message as it is sent: whether it is compressed, and its length, come first.
    fn framed(message: &VersionResponse) -> Vec<u8> {
        let length = message.encoded_len() as u32;
        [&[0][..], &length.to_be_bytes(), &message.encode_to_vec()].concat()
    }

    #[tokio::test]
    async fn an_answer_may_come_in_parts() {
        let version = VersionResponse {
            runtime_name: "containerd".into(),
            runtime_version: "1.6".into(),
        };
        let bytes = framed(&version);
        for part in 1..=bytes.len() {
            let answer = Server::new(&bytes, part, OK).version().await;
            assert_eq!(answer.unwrap(), version, "{part}");
        }
        for length in 0..bytes.len() {
            let answer = Server::new(&bytes[..length], 64, OK).version().await;
            assert!(answer.is_err(), "{length}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_or_compressed_is_an_error() {
        let longest = (MAX_MESSAGE_BYTES as u32).to_be_bytes();
        let longer = (MAX_MESSAGE_BYTES as u32 + 1).to_be_bytes();
        let code = async |compressed: u8, length: [u8; 4]| {
            let bytes = [&[compressed][..], &length].concat();
            match Server::new(&bytes, 64, OK).version().await {
                Err(Error::Status { code, .. }) => code,
                other => panic!("{other:?}"),
            }
        };
        assert_ne!(code(0, longest).await, Code::OutOfRange);
        assert_eq!(code(0, longer).await, Code::OutOfRange);
        assert_eq!(code(1, [0; 4]).await, Code::Internal);
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let trailers = [("grpc-status", "12"), ("grpc-message", "unknown method")];
        let bytes = framed(&VersionResponse::default());
        // The status comes after the answer, and may still be a refusal.
        for bytes in [&[][..], &bytes] {
            let answer = Server::new(bytes, 64, &trailers).version().await;
            let error = answer.unwrap_err();
            assert!(error.is_unimplemented());
            assert_eq!(
                error.to_string(),
                r#"gRPC status Unimplemented: "unknown method""#
            );
        }
    }

    #[tokio::test]
    async fn no_socket_and_no_grpc_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let error = connect(&socket).await.map(drop).unwrap_err();
        assert!(error.is_absent() && !error.is_permission());
    }
}
