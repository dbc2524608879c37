//! The types of version 0.1 of the contract: the records of `wit/v0.1/plugin.wit`, in its order.
//!
//! Records that go to a plugin borrow from the events, so text is copied only once, into the plugin's memory. wasmtime compares the
//! types with those of the plugin when an instance is made.

pub(crate) mod batch;
mod extra;
mod packed_event;

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower, flags};

use self::packed_event::PackedEvent;

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Ip {
    pub(crate) hi: u64,
    pub(crate) lo: u64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Parent<'a> {
    pub(crate) pid: u32,
    pub(crate) comm: &'a str,
    pub(crate) path: Option<&'a str>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Process<'a> {
    pub(crate) user: &'a str,
    pub(crate) comm: &'a str,
    pub(crate) path: Option<&'a str>,
    pub(crate) args: Option<&'a [Arc<str>]>,
    pub(crate) parents: Option<Vec<Parent<'a>>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Container<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) labels: Option<&'a [(Arc<str>, Arc<str>)]>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Event<'a> {
    #[component(name = "time-ns")]
    pub(crate) time: u64,
    #[component(name = "latency-ns")]
    pub(crate) latency: Option<u64>,
    pub(crate) source: Ip,
    pub(crate) destination: Ip,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) process: Option<u32>,
    pub(crate) container: Option<u32>,
    pub(crate) dname: Option<&'a str>,
    pub(crate) tags: Option<&'a [(String, String)]>,
    pub(crate) extra: Option<Vec<extra::Pair<'a>>>,
    #[component(name = "source-port")]
    pub(crate) source_port: u16,
    #[component(name = "destination-port")]
    pub(crate) destination_port: u16,
    pub(crate) errno: u16,
    pub(crate) kind: u8,
    pub(crate) protocol: u8,
    pub(crate) outcome: u8,
}

/// A batch of events, as a plugin gets it.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) processes: &'a [Process<'a>],
    pub(crate) containers: &'a [Container<'a>],
    pub(crate) events: &'a [PackedEvent<'a>],
}

// The fields that a plugin asks for (the macro takes no documentation).
flags! {
    Fields {
        #[component(name = "process")]
        const PROCESS;
        #[component(name = "args")]
        const ARGS;
        #[component(name = "parents")]
        const PARENTS;
        #[component(name = "container")]
        const CONTAINER;
        #[component(name = "labels")]
        const LABELS;
        #[component(name = "tags")]
        const TAGS;
        #[component(name = "dname")]
        const DNAME;
        #[component(name = "extra")]
        const EXTRA;
    }
}

/// What a plugin returns from `init`.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Setup {
    pub(crate) needs: Fields,
    pub(crate) when: Option<String>,
    pub(crate) kinds: Vec<u8>,
}

/// A tag for an event.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(crate) struct Tag {
    pub(crate) event: u32,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// New text for a field.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(crate) struct Set {
    pub(crate) event: u32,
    pub(crate) field: String,
    pub(crate) text: String,
}

/// The whole output line.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(crate) struct Line {
    pub(crate) event: u32,
    pub(crate) text: String,
}

/// A report of a plugin, from `tick` or `stop`.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// What to do with an event.
#[derive(ComponentType, Debug, Lift)]
#[component(variant)]
pub(crate) enum Action {
    #[component(name = "drop")]
    Drop(u32),
    #[component(name = "tag")]
    Tag(Tag),
    #[component(name = "set")]
    Set(Set),
    #[component(name = "line")]
    Line(Line),
}
