//! Decodes records of the kernel program: the bytes of the ring buffer become a [`Record`].
//!
//! Checks lengths and numbers. A record that makes no sense is an error, never a panic.

mod clock;
mod connection;
mod process;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lightmon_common::{Cgroup, Connection, ScanRequest, kind};
use lightmon_event::Record;
use zerocopy::FromBytes;

pub(super) use self::clock::since_boot;
pub use self::{clock::Clock, process::Tasks};

/// The bytes are not a record of the kernel program.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The record is shorter than its kind requires.
    #[error("record of {len} bytes is too short")]
    Short {
        /// Length of the record in bytes.
        len: usize,
    },
    /// A number has no meaning.
    #[error("record has unknown {field} {value}")]
    Unknown {
        /// The field with the number.
        field: &'static str,
        /// The number.
        value: u32,
    },
}

impl Malformed {
    fn of_length(bytes: &[u8]) -> Self {
        Self::Short { len: bytes.len() }
    }
}

/// A decoded record.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are records, and a box would cost each an allocation"
)]
#[derive(Debug, PartialEq)]
pub enum Decoded {
    /// A record for the stages that follow.
    Record(Record),
    /// A request to the source itself: to schedule a scan of the pending connections.
    ScanRequest {
        /// When a connection began, since boot.
        began: Duration,
    },
}

/// Decodes one record of the ring buffer.
///
/// # Errors
/// If the bytes are not a record.
pub fn record(bytes: &[u8], clock: &Clock, tasks: &mut Tasks) -> Result<Decoded, Malformed> {
    let (kind, _) = u32::read_from_prefix(bytes).map_err(|_| Malformed::of_length(bytes))?;
    Ok(Decoded::Record(match kind {
        kind::CONNECTION => {
            let record: Connection = fixed_part(bytes)?;
            let event = connection::decode(&record, clock, tasks)?;
            if record.task.is_self == 0 {
                Record::Connection(event)
            } else {
                Record::FromSelf(event)
            }
        }
        kind::EXEC => Record::Exec(process::decode_exec(bytes)?),
        kind::FORK => Record::Fork(process::decode_fork(&fixed_part(bytes)?)),
        kind::CGROUP => decode_cgroup(bytes)?,
        kind::SCAN_REQUEST => {
            let record: ScanRequest = fixed_part(bytes)?;
            return Ok(Decoded::ScanRequest {
                began: Duration::from_nanos(record.began_ns),
            });
        }
        value => {
            return Err(Malformed::Unknown {
                field: "kind",
                value,
            });
        }
    }))
}

/// The part of a record that has the same size in all records of its kind.
fn fixed_part<T: FromBytes>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes)
        .map(|(record, _)| record)
        .map_err(|_| Malformed::of_length(bytes))
}

fn decode_cgroup(bytes: &[u8]) -> Result<Record, Malformed> {
    let (Cgroup { id, path_len, .. }, rest) =
        Cgroup::read_from_prefix(bytes).map_err(|_| Malformed::of_length(bytes))?;
    let path = rest
        .get(..path_len as usize)
        .ok_or_else(|| Malformed::of_length(bytes))?;
    let path = path.strip_suffix(&[0]).unwrap_or(path).to_vec();
    Ok(Record::Cgroup { id, path })
}
