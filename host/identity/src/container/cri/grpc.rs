//! A gRPC client for a unix socket: one connection of HTTP/2, calls with one answer, and calls with many. Nothing else
//! of gRPC is needed, and hyper is there already for Docker.

use std::{future::Future, io, path::Path, time::Duration};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request,
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
    header::{CONTENT_TYPE, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::UnixStream, time::timeout};

/// Longest message that is read: what containerd sends at most.
const MAX_MESSAGE: usize = 16 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The status that says that the server has no such method (grpc.io/docs/guides/status-codes).
const UNIMPLEMENTED: &str = "12";

/// What can go wrong with a call. What the server says is shown with its control characters escaped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("no answer within {PATIENCE:?}")]
    Timeout,
    #[error("answered HTTP {0}")]
    NoGrpc(hyper::StatusCode),
    #[error("refused, gRPC status {code:?}: {message:?}")]
    Refused { code: String, message: String },
    #[error("the answer is not understood: {0}")]
    Malformed(&'static str),
    #[error("the answer is not understood: {0}")]
    Undecodable(#[from] prost::DecodeError),
}

impl Error {
    /// Whether there is no socket.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the socket is there, but not for us.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the server does not know the method.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == UNIMPLEMENTED)
    }
}

/// Makes calls; all clones over the same connection.
#[derive(Clone)]
pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    /// Connects; the second one is the connection, which must be polled for anything to happen, and ends with it.
    ///
    /// # Errors
    /// When nobody listens, or nobody who speaks HTTP/2.
    pub async fn connect(
        socket: &Path,
    ) -> Result<(Self, impl Future<Output = hyper::Result<()>> + Send + use<>), Error> {
        let stream = TokioIo::new(UnixStream::connect(socket).await?);
        let handshake = http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = timeout(PATIENCE, handshake)
            .await
            .map_err(|_| Error::Timeout)??;
        Ok((Self(sender), connection))
    }

    /// A call with one answer; `method` is the path, such as `/runtime.v1.RuntimeService/Version`.
    ///
    /// # Errors
    /// When the server refuses, or does not answer in time.
    pub async fn call<A: Message + Default>(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<A, Error> {
        timeout(PATIENCE, async {
            let mut answers = self.open(method, request).await?;
            let answer = answers.next().await?;
            let answer = answer.ok_or(Error::Malformed("there is none"))?;
            // The status comes after the answer, and may still be a refusal.
            match answers.next::<A>().await? {
                None => Ok(answer),
                Some(_) => Err(Error::Malformed("there are two")),
            }
        })
        .await
        .map_err(|_| Error::Timeout)?
    }

    /// A call with any number of answers. It may return only when the first of them comes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(
        &self,
        method: &'static str,
        request: &impl Message,
    ) -> Result<Answers, Error> {
        let request = Request::post(format!("http://localhost{method}"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .body(Full::new(framed(request)))
            .map_err(|_| Error::Malformed("invariant: method is a path"))?;
        let response = self.0.clone().send_request(request).await?;
        if response.status() != hyper::StatusCode::OK {
            return Err(Error::NoGrpc(response.status()));
        }
        check(response.headers())?;
        Ok(Answers {
            body: response.into_body(),
            read: Vec::new(),
        })
    }
}

/// What a server answers to one call.
pub struct Answers {
    body: Incoming,
    /// Not yet whole.
    read: Vec<u8>,
}

impl Answers {
    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// When it is broken off, or not understood.
    pub async fn next<A: Message + Default>(&mut self) -> Result<Option<A>, Error> {
        loop {
            if let Some(end) = message_end(&self.read)? {
                let answer = A::decode(&self.read[PREFIX..end])?;
                self.read.drain(..end);
                return Ok(Some(answer));
            }
            match self.body.frame().await.transpose()? {
                None if self.read.is_empty() => return Ok(None),
                None => return Err(Error::Malformed("it is cut off")),
                Some(frame) => match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => self.read.extend_from_slice(data),
                    (_, Some(trailers)) => check(trailers)?,
                    _ => {}
                },
            }
        }
    }
}

/// A message as it is sent.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(PREFIX + length);
    bytes.push(0);
    // Of our own: they are small.
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes.into()
}

/// Where the first message ends, if it is there as a whole.
fn message_end(read: &[u8]) -> Result<Option<usize>, Error> {
    let Some((prefix, message)) = read.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let [compressed, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 {
        return Err(Error::Malformed("it is compressed, which nobody asked for"));
    }
    if length > MAX_MESSAGE {
        return Err(Error::Malformed("it is longer than 16 MiB"));
    }
    Ok((message.len() >= length).then_some(PREFIX + length))
}

/// The status: in the trailers, or in the headers when there is no answer.
fn check(headers: &HeaderMap) -> Result<(), Error> {
    let text = |name| {
        let value = headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    match text("grpc-status") {
        Some(code) if code != "0" => Err(Error::Refused {
            code,
            message: text("grpc-message").unwrap_or_default(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::cri::api::VersionResponse;

    #[test]
    fn messages_are_cut_out_of_what_was_read() {
        let version = VersionResponse {
            runtime_name: "containerd".into(),
            runtime_version: "1.6".into(),
        };
        let bytes = framed(&version);
        for part in 0..bytes.len() {
            assert_eq!(message_end(&bytes[..part]).unwrap(), None, "{part}");
        }
        let two = [&bytes[..], &bytes[..]].concat();
        assert_eq!(message_end(&two).unwrap(), Some(bytes.len()));
        let again = VersionResponse::decode(&two[PREFIX..bytes.len()]).unwrap();
        assert_eq!(again, version);
    }

    #[test]
    fn what_is_too_long_or_compressed_is_an_error() {
        assert!(message_end(&[0, 1, 0, 0, 0]).unwrap().is_none());
        assert!(message_end(&[0, 1, 0, 0, 1]).is_err());
        assert!(message_end(&[1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(check(&headers).is_ok());
        headers.insert("grpc-status", "12".parse().unwrap());
        headers.insert("grpc-message", "unknown method".parse().unwrap());
        let error = check(&headers).unwrap_err();
        assert!(error.is_unimplemented());
        assert_eq!(
            error.to_string(),
            r#"refused, gRPC status "12": "unknown method""#
        );
    }
}
