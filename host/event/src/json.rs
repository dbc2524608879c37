//! An event as a line of JSON, and back. The keys are an API: no key is ever renamed, and an incompatible change raises `v`.
//! Leaves nothing out and cuts nothing. Neither writes nor reads files.
//!
//! ```json
//! {"v":1,"kernelTime":"13898485459656","goTime":"2026-11-23T23:04:05.123456789+08:00",
//!  "time":"2026-11-23T23:04:05.123456789+08:00","pid":1234,"comm":"curl","addressFamily":"AF_INET",
//!  "saddr":"192.168.1.100","sport":34567,"daddr":"93.184.215.14","dport":443,"container":"web-server",
//!  "id":"ca3fe49eac8-4d3","tid":1235,"uid":0,"gid":0,"user":"root","protocol":"tcp","outcome":"established","latencyNs":1234000,
//!  "procPath":"/usr/bin/curl","procArgs":["curl","-s","https://example.org/"],"processStarted":"13898000000000",
//!  "processProvenance":"exec","parents":[{"pid":1000,"started":"12000000000000","comm":"bash","path":"/usr/bin/bash"}],"containerId":"3f4e8d0c5b6a…",
//!  "containerImage":"nginx:1.27","containerProvenance":"exec","labels":{"app":"web"},"cgroupId":4711,"tags":{"country":"US"}}
//! ```
//!
//! These keys are always there: `v` to `container`, `id`, `tid`, `protocol` and `outcome`. All other keys are absent if their value is not
//! known, has no name, or is empty.
//!
//! | key | meaning |
//! |---|---|
//! | `container` | the container's name; `""` without a container, or if its name is not known |
//! | `id` | names the connection: a `pending` connection comes again with its outcome and the same `id` |
//! | `protocol` | `tcp`, `udp` or the IANA number |
//! | `errno`, `error` | the errno behind the outcome, and its name (`ECONNREFUSED`) |
//! | `processComm` | the name of the process, if it differs from its thread's (`comm`) |
//! | `procArgsCut` | `true` if there are more arguments than `procArgs` holds |
//! | `processProvenance` | how path and arguments are known: `exec` (seen at exec) or `proc` (read later) |
//! | `containerProvenance` | the same for the container |
//! | `containerRuntime`, `containerImageDigest` | as the runtime reports them |
//! | `composeProject`, `composeService` | from the container's labels |
//! | `pod` | `{"name":"web-0","namespace":"shop","uid":"…","container":"nginx","labels":{"app":"web"}}` in a Kubernetes pod |
//! | `unit`, `slice` | systemd's (`nginx.service`, `system.slice`), outside of containers |
//! | `peer` | with `--resolve-peers`, the container at the destination: `{"container":"db","containerId":"…","containerImage":"postgres:17","pod":{…}}` |
//! | `kernelTime`, `processStarted`, `started` | nanoseconds since boot, as strings: after 104 days they exceed what a JSON number holds in many readers |
//!
//! Notices come between the events, and are not events. They have the key `notice`, and of an event's keys only `v` and `time`:
//!
//! ```json
//! {"v":1,"time":"2026-11-23T23:04:06.500000000+08:00","notice":"lost","since":"2026-11-23T23:04:05.000000000+08:00",
//!  "until":"2026-11-23T23:04:06.500000000+08:00","where":"kernel","connections":12,"processes":3}
//! {"v":1,"time":"2026-11-23T23:05:00.000000000+08:00","notice":"blind","reason":"…"}
//! {"v":1,"time":"2026-11-23T23:06:00.000000000+08:00","notice":"sighted"}
//! {"v":1,"time":"2026-11-23T23:07:00.000000000+08:00","notice":"report","plugin":"dedupe","report":"suppressed","fields":{"key":"value"}}
//! ```
//!
//! * `lost`: between `since` and `until`, `connections` were lost, and the start of `processes` was lost: their connections may lack path
//!   and arguments. `where` is `kernel` (its buffer was full) or `output` (the reader of these lines took no more). The sum of all
//!   such notices is in the summary.
//! * `blind`: the self-test failed, for that `reason`. Connections may be missing until `sighted`.
//! * `sighted`: the self-test passes again.
//! * `report`: a report of the plugin `plugin`; `report` is its name.
//!
//! Reading needs `pid`, `daddr`, `dport` and one of `time` and `goTime`, so that the original lightmon's lines can be read too. A line without
//! protocol and outcome is TCP and established, which is all that the original reports. Unknown keys are ignored.

mod object;

mod container;
mod map;
mod number;
mod parents;
mod time;
mod words;

mod fragments;
mod line;
pub mod log;
mod malformed;
pub mod notice;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use serde::Serialize;

use self::{
    container::{PeerKeys, PodKeys},
    fragments::Fragments,
    number::Quoted,
    object::{BySerde, Object, Word, key},
    time::Times,
    words::{OutcomeWord, ProtocolName, ProvenanceWord},
};
pub use self::{line::parse_line, malformed::Malformed};
use crate::{Container, ErrorName, Event, NO_ID, Process, Provenance, Unit, escape};

/// The version of the schema.
const VERSION: u64 = 1;

/// The version of a line that names none.
const fn version() -> u64 {
    VERSION
}

/// Appends the event and a newline. For many events, [`Lines`] are faster.
pub fn event(event: &Event, zone: &TimeZone, out: &mut Vec<u8>) {
    Lines::new(zone.clone()).event(event, out);
}

/// Writes events as lines. Caches what successive lines have in common.
#[derive(Debug)]
pub struct Lines {
    times: Times,
    /// The flag says whether the name of the thread differs from that of its process.
    processes: Fragments<Process, bool>,
    containers: Fragments<Container, Option<Provenance>>,
    labels: Fragments<Container, ()>,
}

impl Lines {
    /// Lines whose times are in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self {
            times: Times::new(zone, 9),
            processes: Fragments::default(),
            containers: Fragments::default(),
            labels: Fragments::default(),
        }
    }

    /// The zone of the times.
    pub fn zone(&self) -> &TimeZone {
        &self.times.zone
    }

    /// Appends the event and a newline.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Event {
            time,
            kernel_time,
            protocol,
            source,
            destination,
            outcome,
            errno,
            latency,
            pid,
            tid,
            uid,
            gid,
            user,
            comm,
            process,
            container,
            exec_id: _,
            container_provenance,
            unit,
            peer,
            cgroup_id,
            tags,
            line: _,
        } = event;
        let time = self.times.at(*time);
        let name = container.as_deref().and_then(|it| it.name.as_deref());
        let family = if destination.is_ipv4() {
            Word("AF_INET")
        } else {
            Word("AF_INET6")
        };
        let mut line = Object::begin(out);
        line.put(key!("v"), VERSION);
        line.put(key!("kernelTime"), Quoted(nanoseconds(*kernel_time)));
        line.put(key!("goTime"), time);
        line.put(key!("time"), time);
        line.put(key!("pid"), *pid);
        line.put(key!("comm"), comm);
        line.put(key!("addressFamily"), family);
        line.put(key!("saddr"), source.ip());
        line.put(key!("sport"), source.port());
        line.put(key!("daddr"), destination.ip());
        line.put(key!("dport"), destination.port());
        line.put(key!("container"), name.unwrap_or_default());
        line.put(key!("id"), event.id());
        line.put(key!("tid"), *tid);
        line.put_some(key!("uid"), id(*uid));
        line.put_some(key!("gid"), id(*gid));
        line.put_some(key!("user"), user.as_ref());
        line.put(key!("protocol"), ProtocolName(*protocol));
        line.put(key!("outcome"), OutcomeWord(*outcome));
        line.put_some(key!("errno"), *errno);
        line.put_some(key!("error"), errno.and_then(ErrorName::of));
        line.put_some(key!("latencyNs"), latency.map(nanoseconds));
        let has_other_name = process.comm != *comm;
        self.processes.put(
            *pid as usize,
            process,
            has_other_name,
            &mut line,
            put_process,
        );
        if let Some(container) = container {
            let (hash, provenance) = (address_hash(container), *container_provenance);
            self.containers
                .put(hash, container, provenance, &mut line, put_container);
        } else {
            line.put_some(
                key!("containerProvenance"),
                container_provenance.map(ProvenanceWord),
            );
        }
        if let Some(Unit { name, slice }) = unit.as_deref() {
            line.put_some(key!("unit"), filled(name));
            line.put_some(key!("slice"), filled(slice));
        }
        let peer = peer.as_deref().map(PeerKeys::from);
        line.put_some(key!("peer"), peer.map(BySerde));
        if let Some(container) = container {
            self.labels.put(
                address_hash(container),
                container,
                (),
                &mut line,
                put_labels,
            );
        }
        line.put_some(key!("cgroupId"), Some(*cgroup_id).filter(|id| *id != 0));
        line.put_some(key!("tags"), filled_list(tags));
        line.end();
        out.push(b'\n');
    }
}

fn put_process(process: &Process, has_other_name: bool, line: &mut Object<'_>) {
    let Process {
        pid: _,
        started,
        comm,
        path,
        args,
        args_cut,
        parents,
        provenance,
    } = process;
    line.put_some(key!("procPath"), path.as_ref());
    line.put_some(key!("procArgs"), args.as_deref());
    line.put_some(key!("procArgsCut"), args_cut.then_some(true));
    line.put_some(key!("processComm"), has_other_name.then_some(comm));
    let started = started.map(|it| Quoted(nanoseconds(it)));
    line.put_some(key!("processStarted"), started);
    line.put_some(key!("processProvenance"), provenance.map(ProvenanceWord));
    line.put_some(key!("parents"), filled_list(parents));
}

/// For [`Fragments`]: two containers are at least this far apart in memory.
fn address_hash(container: &Arc<Container>) -> usize {
    Arc::as_ptr(container).addr() / align_of::<u128>()
}

fn put_container(container: &Container, provenance: Option<Provenance>, line: &mut Object<'_>) {
    let Container {
        id,
        name: _,
        image,
        image_digest,
        runtime,
        pod,
        labels: _,
    } = container;
    line.put_some(key!("containerId"), filled(id));
    line.put_some(key!("containerImage"), image.as_ref());
    line.put_some(key!("containerImageDigest"), image_digest.as_ref());
    line.put_some(key!("containerRuntime"), runtime.as_ref());
    line.put_some(key!("containerProvenance"), provenance.map(ProvenanceWord));
    line.put_some(key!("composeProject"), container.compose_project());
    line.put_some(key!("composeService"), container.compose_service());
    let pod = pod.as_deref().map(PodKeys::from);
    line.put_some(key!("pod"), pod.map(BySerde));
}

/// Writes the labels, which come later in the line than the other keys of a container.
fn put_labels(container: &Container, (): (), line: &mut Object<'_>) {
    line.put_some(key!("labels"), filled_list(&container.labels));
}

/// `None` for [`NO_ID`].
fn id(id: u32) -> Option<u32> {
    Some(id).filter(|id| *id != NO_ID)
}

pub(super) fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn filled_list<T>(list: &[T]) -> Option<&[T]> {
    Some(list).filter(|list| !list.is_empty())
}

/// Appends `line` as JSON that is safe on a terminal, and a newline.
pub(super) fn write(line: &impl Serialize, out: &mut Vec<u8>) {
    serialize(line, out);
    out.push(b'\n');
}

/// Appends `value` as JSON that is safe on a terminal.
fn serialize(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut *out,
            escape::Json,
        ))
        .expect("invariant: plain data with text keys, into memory");
}

/// The 584 years that fit are longer than the uptime of any machine.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
