//! Reads a line of JSON: of lightmon, and of the original lightmon. Writing is in [`super`].

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    VERSION,
    container::{PeerKeys, PodKeys},
    malformed::Malformed,
    map::Map,
    notice,
    number::Quoted,
    parents::Parents,
    time::Time,
    version,
    words::{OutcomeWord, ProtocolName, ProvenanceWord},
};
use crate::{Container, Event, NO_ID, Outcome, Process, Record, Unit};

/// Reads a line that lightmon, or the original lightmon, has written: an event or a notice.
pub fn parse_line(line: &[u8]) -> Result<Record, Malformed> {
    let event = || {
        let event: Line<'_> = serde_json::from_slice(line)?;
        event.try_into()
    };
    match event() {
        Ok(event) => Ok(Record::Connection(event)),
        Err(_) if is_notice(line) => notice::parse(line).map(Record::Notice),
        Err(reason) => Err(reason),
    }
}

/// Whether the line has the key of a notice, so that [`notice::parse`] says what is wrong with it.
fn is_notice(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "notice")]
        _word: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Kind>(line).is_ok()
}

/// The keys of an event's line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(default = "version")]
    v: u64,
    #[serde(default)]
    kernel_time: Quoted<u64>,
    go_time: Option<Time>,
    time: Option<Time>,
    pid: u32,
    #[serde(default)]
    comm: Arc<str>,
    saddr: Option<IpAddr>,
    #[serde(default)]
    sport: u16,
    daddr: IpAddr,
    dport: u16,
    #[serde(default)]
    container: Arc<str>,
    tid: Option<u32>,
    #[serde(default = "no_id")]
    uid: u32,
    #[serde(default = "no_id")]
    gid: u32,
    user: Option<Arc<str>>,
    #[serde(default)]
    protocol: ProtocolName,
    outcome: Option<OutcomeWord>,
    errno: Option<u16>,
    latency_ns: Option<u64>,
    proc_path: Option<Arc<str>>,
    proc_args: Option<Arc<[Arc<str>]>>,
    #[serde(default)]
    proc_args_cut: bool,
    process_comm: Option<Arc<str>>,
    process_started: Option<Quoted<u64>>,
    process_provenance: Option<ProvenanceWord>,
    #[serde(default)]
    parents: Parents,
    #[serde(default)]
    container_id: Arc<str>,
    container_image: Option<Arc<str>>,
    container_image_digest: Option<Arc<str>>,
    container_runtime: Option<Arc<str>>,
    container_provenance: Option<ProvenanceWord>,
    pod: Option<PodKeys<'a>>,
    unit: Option<Arc<str>>,
    slice: Option<Arc<str>>,
    peer: Option<PeerKeys<'a>>,
    #[serde(default)]
    labels: Map<'a, Arc<str>>,
    #[serde(default)]
    cgroup_id: u64,
    #[serde(default)]
    tags: Map<'a, String>,
}

impl TryFrom<Line<'_>> for Event {
    type Error = Malformed;

    fn try_from(line: Line<'_>) -> Result<Self, Malformed> {
        if line.v != VERSION {
            return Err(Malformed::Version(line.v));
        }
        let destination = Self::canonical((line.daddr, line.dport).into());
        let nowhere = if destination.is_ipv4() {
            IpAddr::from([0; 4])
        } else {
            IpAddr::from([0; 16])
        };
        let outcome = line.outcome.map_or_else(
            || line.errno.map_or(Outcome::Established, Outcome::from_errno),
            |OutcomeWord(outcome)| outcome,
        );
        let mut container = Container {
            id: line.container_id,
            name: Some(line.container).filter(|name| !name.is_empty()),
            image: line.container_image,
            image_digest: line.container_image_digest,
            runtime: line.container_runtime,
            pod: line.pod.map(|pod| Arc::new(pod.into())),
            labels: line.labels.0.into_owned(),
        };
        container.labels.sort();
        Ok(Self {
            time: line.time.or(line.go_time).ok_or(Malformed::NoTime)?.at,
            kernel_time: Duration::from_nanos(line.kernel_time.0),
            protocol: line.protocol.0,
            source: (line.saddr.unwrap_or(nowhere), line.sport).into(),
            destination,
            outcome,
            errno: line.errno,
            latency: line.latency_ns.map(Duration::from_nanos),
            pid: line.pid,
            tid: line.tid.unwrap_or(line.pid),
            uid: line.uid,
            gid: line.gid,
            user: line.user,
            process: Arc::new(Process {
                pid: line.pid,
                started: line.process_started.map(|it| Duration::from_nanos(it.0)),
                comm: line.process_comm.unwrap_or_else(|| line.comm.clone()),
                path: line.proc_path,
                args: line.proc_args,
                args_cut: line.proc_args_cut,
                parents: line.parents.0,
                provenance: line.process_provenance.map(|it| it.0),
            }),
            comm: line.comm,
            container: (container != Container::default()).then(|| Arc::new(container)),
            exec_id: 0,
            container_provenance: line.container_provenance.map(|it| it.0),
            unit: (line.unit.is_some() || line.slice.is_some()).then(|| {
                Arc::new(Unit {
                    name: line.unit.unwrap_or_default(),
                    slice: line.slice.unwrap_or_default(),
                })
            }),
            peer: line.peer.map(|peer| Arc::new(peer.into())),
            cgroup_id: line.cgroup_id,
            tags: line.tags.0.into_owned(),
            line: None,
        })
    }
}

const fn no_id() -> u32 {
    NO_ID
}
