//! Version 0.1 of the contract: the records of `wit/v0.1/plugin.wit`, in its order. Only their shape.
//!
//! Those that go to a plugin borrow from the events, so that text is copied once, into its memory. That they are the
//! same as the plugin's is checked when an instance is made.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Lift, Lower, flags};

mod extra;
mod row;
pub(super) mod tables;

use self::row::Row;

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Ip {
    pub(super) hi: u64,
    pub(super) lo: u64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Parent<'a> {
    pub(super) pid: u32,
    pub(super) comm: &'a str,
    pub(super) path: Option<&'a str>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Process<'a> {
    pub(super) user: &'a str,
    pub(super) comm: &'a str,
    pub(super) path: Option<&'a str>,
    pub(super) args: Option<&'a [Arc<str>]>,
    pub(super) parents: Option<Vec<Parent<'a>>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Container<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) labels: Option<&'a [(Arc<str>, Arc<str>)]>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Event<'a> {
    #[component(name = "time-ns")]
    pub(super) time: u64,
    #[component(name = "latency-ns")]
    pub(super) latency: Option<u64>,
    pub(super) source: Ip,
    pub(super) destination: Ip,
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) process: Option<u32>,
    pub(super) container: Option<u32>,
    pub(super) dname: Option<&'a str>,
    pub(super) tags: Option<&'a [(String, String)]>,
    pub(super) extra: Option<Vec<extra::Pair<'a>>>,
    #[component(name = "source-port")]
    pub(super) source_port: u16,
    #[component(name = "destination-port")]
    pub(super) destination_port: u16,
    pub(super) errno: u16,
    pub(super) kind: u8,
    pub(super) protocol: u8,
    pub(super) outcome: u8,
}

/// A batch as it crosses the border.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Batch<'a> {
    pub(super) processes: &'a [Process<'a>],
    pub(super) containers: &'a [Container<'a>],
    pub(super) events: &'a [Row<'a>],
}

// What a plugin wants filled in (the macro takes no documentation).
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

/// What a plugin wants from the host.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Setup {
    pub(super) needs: Fields,
    pub(super) when: Option<String>,
    pub(super) kinds: Vec<u8>,
}

/// A tag for an event.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Tag {
    pub(super) event: u32,
    pub(super) key: String,
    pub(super) value: String,
}

/// New text for a field.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Set {
    pub(super) event: u32,
    pub(super) field: String,
    pub(super) text: String,
}

/// The whole output line.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Line {
    pub(super) event: u32,
    pub(super) text: String,
}

/// Something that a plugin has to say of its own.
#[derive(ComponentType, Debug, Lift)]
#[component(record)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) fields: Vec<(String, String)>,
}

/// What to do with an event.
#[derive(ComponentType, Debug, Lift)]
#[component(variant)]
pub(super) enum Action {
    #[component(name = "drop")]
    Drop(u32),
    #[component(name = "tag")]
    Tag(Tag),
    #[component(name = "set")]
    Set(Set),
    #[component(name = "line")]
    Line(Line),
}
