//! The report of a run: printed by `run`, read by `check`.
//!
//! ```json
//! {"kind":"tcp","from":"127.16.0.0","count":3,"program":"/usr/bin/lightmon-load","seconds":0.1,
//!  "times":{"p50":9120,"p99":20480},
//!  "parts":[{"pid":100,"first":0,"count":2,"port":40001,"made":2,"failed":0},
//!           {"pid":101,"first":2,"count":1,"port":40002,"made":0,"failed":1,"error":"ETIMEDOUT"}]}
//! ```

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{kind::Kind, target::Range, times::Percentiles};

/// A run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    #[serde(flatten)]
    pub(crate) range: Range,
    /// The program that connected.
    pub(crate) program: PathBuf,
    pub(crate) seconds: f64,
    /// Times of the calls that opened connections. With `exec`: lifetimes of the processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<Percentiles>,
    /// One per process, in the order of the connections.
    pub(crate) parts: Vec<Part>,
}

/// The connections of one process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The process that connected. With `exec`: the parent of the processes that connected.
    pub(crate) pid: u32,
    /// The index of the process's first connection, and the number of its connections.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// The destination port of all its connections.
    pub(crate) port: u16,
    pub(crate) made: u32,
    pub(crate) failed: u32,
    /// The error of the first connection that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Report {
    /// The part that contains connection `i`.
    pub(crate) fn part(&self, i: u32) -> &Part {
        let after = self.parts.partition_point(|part| part.first <= i);
        &self.parts[after.saturating_sub(1)]
    }

    pub(crate) fn made(&self) -> u32 {
        self.parts.iter().map(|part| part.made).sum()
    }

    pub(crate) fn failed(&self) -> u32 {
        self.parts.iter().map(|part| part.failed).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (made, failed, seconds) = (self.made(), self.failed(), self.seconds);
        let rate = f64::from(made) / seconds;
        write!(
            f,
            "made {made}, failed {failed}, {seconds:.3} s, {rate:.0}/s"
        )?;
        if let Some(Percentiles { p50, p99 }) = self.times {
            let us = |ns: u64| ns as f64 / 1000.0;
            write!(f, ", p50 {:.1} us, p99 {:.1} us", us(p50), us(p99))?;
        }
        match self.parts.iter().find_map(|part| part.error.as_ref()) {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
