//! An event as a line of JSON, and back: an API, whose keys are never renamed; what changes incompatibly raises `v`.
//! Cuts nothing and leaves nothing out; decides nothing about where the line goes to or comes from.
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
//! Always there: `v` to `container` (`""`: in none, or its name is not known), `id` (names the connection: a
//! `pending` one comes again with its outcome), `tid`, `protocol` (`tcp`, `udp` or the
//! IANA number) and `outcome` (its word). All else is absent when it is not known, has no name, or is empty. `errno` and
//! `error` (`ECONNREFUSED`) are there where an errno is behind the outcome, `processComm` where the process is called
//! otherwise than its thread (`comm`), and `procArgsCut` where there are more arguments than `procArgs` holds. `processProvenance` and
//! `containerProvenance` say how path and arguments, and the container, are known: `exec`, seen when they started, or `proc`,
//! read later. `containerRuntime` and `containerImageDigest` are what the runtime has told, `composeProject` and `composeService` are of
//! its labels. In a Kubernetes pod there is `"pod":{"name":"web-0","namespace":"shop","uid":"…","container":"nginx","labels":{"app":"web"}}`.
//! In no container, `unit` and `slice` are systemd's (`nginx.service`, `system.slice`). `peer`, with `--resolve-peers`, is the container that the
//! destination is: `"peer":{"container":"db","containerId":"…","containerImage":"postgres:17","pod":{…}}`. `kernelTime`,
//! `processStarted` and `started` are nanoseconds since boot as strings: after 104
//! days they exceed what a JSON number holds in many readers.
//!
//! Between them are notices, which are no events; they have `notice` and none of an event's keys but `v` and `time`:
//!
//! ```json
//! {"v":1,"time":"2026-11-23T23:04:06.500000000+08:00","notice":"lost","since":"2026-11-23T23:04:05.000000000+08:00",
//!  "until":"2026-11-23T23:04:06.500000000+08:00","where":"kernel","connections":12,"processes":3}
//! {"v":1,"time":"2026-11-23T23:05:00.000000000+08:00","notice":"blind","reason":"…"}
//! {"v":1,"time":"2026-11-23T23:06:00.000000000+08:00","notice":"sighted"}
//! {"v":1,"time":"2026-11-23T23:07:00.000000000+08:00","notice":"report","plugin":"dedupe","report":"suppressed","fields":{"key":"value"}}
//! ```
//!
//! `lost`: between `since` and `until` so many `connections` are missing; of so many `processes` the start was not seen, so that
//! connections of theirs may lack path and arguments. `where` is `kernel` (its buffer was full) or `output` (what this stands in
//! took no more). All such lines together say what the summary says. `blind`: lightmon's own test saw that connections are not
//! seen, for that `reason`, until `sighted`. `report`: what that `plugin` has to say of its own, by the name of `report`.
//!
//! Reading asks for `pid`, `daddr`, `dport` and one of `time` and `goTime`, and takes what else is there, so that the
//! original lightmon's lines are read too (TCP, and established, as it said nothing else). Unknown keys are ignored, notices
//! are read as notices.

mod container;
mod fragments;
mod line;
pub mod log;
pub mod notice;
mod object;
#[cfg(test)]
mod tests;
mod value;

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use serde::Serialize;

pub use self::line::{Malformed, parse_line};
use self::{
    container::{PeerKeys, PodKeys},
    fragments::Fragments,
    object::{Object, Seldom, Word, key},
    value::{OutcomeWord, ProtocolName, ProvenanceWord, Quoted, Times},
};
use crate::{Container, ErrorName, Event, NO_ID, Process, Provenance, Unit, escape};

/// The schema's version.
const VERSION: u64 = 1;

/// Appends the event and a newline. For more than a few events there are [`Lines`].
pub fn event(event: &Event, zone: &TimeZone, out: &mut Vec<u8>) {
    Lines::new(zone.clone()).event(event, out);
}

/// Events as lines, with what one's line has in common with those before.
#[derive(Debug)]
pub struct Lines {
    times: Times,
    /// Also by whether the thread is called otherwise than its process.
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
        let is_named_otherwise = process.comm != *comm;
        self.processes.put(
            *pid as usize,
            process,
            is_named_otherwise,
            &mut line,
            put_process,
        );
        if let Some(container) = container {
            let (place, provenance) = (place(container), *container_provenance);
            self.containers
                .put(place, container, provenance, &mut line, put_container);
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
        line.put_some(key!("peer"), peer.map(Seldom));
        if let Some(container) = container {
            self.labels
                .put(place(container), container, (), &mut line, put_labels);
        }
        line.put_some(key!("cgroupId"), Some(*cgroup_id).filter(|id| *id != 0));
        line.put_some(key!("tags"), filled_list(tags));
        line.end();
        out.push(b'\n');
    }
}

fn put_process(process: &Process, is_named_otherwise: bool, line: &mut Object<'_>) {
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
    line.put_some(key!("processComm"), is_named_otherwise.then_some(comm));
    let started = started.map(|it| Quoted(nanoseconds(it)));
    line.put_some(key!("processStarted"), started);
    line.put_some(key!("processProvenance"), provenance.map(ProvenanceWord));
    line.put_some(key!("parents"), filled_list(parents));
}

/// For [`Fragments`]. No two containers begin within so many bytes.
fn place(container: &Arc<Container>) -> usize {
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
    line.put_some(key!("pod"), pod.map(Seldom));
}

/// They come later in the line.
fn put_labels(container: &Container, (): (), line: &mut Object<'_>) {
    line.put_some(key!("labels"), filled_list(&container.labels));
}

/// None where it says that nobody has it.
fn id(id: u32) -> Option<u32> {
    Some(id).filter(|id| *id != NO_ID)
}

pub(super) fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn filled_list<T>(list: &[T]) -> Option<&[T]> {
    Some(list).filter(|list| !list.is_empty())
}

/// Appends `line` as JSON that a terminal can bear, and a newline.
pub(super) fn write(line: &impl Serialize, out: &mut Vec<u8>) {
    serialize(line, out);
    out.push(b'\n');
}

/// Appends `value` as JSON that a terminal can bear.
fn serialize(value: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut *out,
            escape::Json,
        ))
        .expect("invariant: plain data with text keys, into memory");
}

/// The 584 years that fit are more than any machine has been up.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
