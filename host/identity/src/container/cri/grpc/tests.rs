//! The client against servers that answer with given bytes.

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

/// A message as it is sent, after the compression flag and its length.
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
async fn an_error_status_says_why() {
    let trailers = [("grpc-status", "12"), ("grpc-message", "unknown method")];
    let bytes = framed(&VersionResponse::default());
    // The status comes after the answer, and may be an error nevertheless.
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
async fn a_missing_socket_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let error = connect(&socket).await.map(drop).unwrap_err();
    assert!(error.is_absent() && !error.is_permission());
}
