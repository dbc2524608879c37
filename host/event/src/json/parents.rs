//! The ancestors of a process, as an array of objects, and back.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer};

use super::{
    nanoseconds,
    number::Quoted,
    object::{Object, Value, key},
};
use crate::Parent;

/// The ancestors of a process, for reading.
#[derive(Default)]
pub(crate) struct Parents(pub(crate) Arc<[Parent]>);

#[derive(Deserialize)]
#[serde(remote = "Parent")]
struct ParentKeys {
    pid: u32,
    #[serde(default, deserialize_with = "since_boot")]
    started: Option<Duration>,
    comm: Arc<str>,
    #[serde(default)]
    path: Option<Arc<str>>,
}

/// Nanoseconds as a string.
fn since_boot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let nanoseconds = Option::<Quoted<u64>>::deserialize(deserializer)?;
    Ok(nanoseconds.map(|it| Duration::from_nanos(it.0)))
}

impl Value for Parent {
    fn write(&self, out: &mut Vec<u8>) {
        let Self {
            pid,
            started,
            comm,
            path,
        } = self;
        let mut object = Object::begin(out);
        object.put(key!("pid"), *pid);
        object.put_some(key!("started"), started.map(|it| Quoted(nanoseconds(it))));
        object.put(key!("comm"), comm);
        object.put_some(key!("path"), path.as_ref());
        object.end();
    }
}

impl<'de> Deserialize<'de> for Parents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "ParentKeys")] Parent);
        let all = Vec::<One>::deserialize(deserializer)?;
        Ok(Self(all.into_iter().map(|One(parent)| parent).collect()))
    }
}
