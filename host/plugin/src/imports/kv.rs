//! `kv`: a small key-value store that outlives the instance. It is in the host's memory, so a fault can't damage it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use lightmon_thread::lock;
use wasmtime::component::LinkerInstance;

use super::Host;
use crate::engine::Data;

/// Bytes that an entry counts in addition to key and value, so that empty entries are limited too.
const ENTRY_BYTES: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("get", |store, (key,): (String,)| {
        Ok((store.data().host.state.kv.get(&key),))
    })?;
    interface.func_wrap("set", |store, (key, value): (String, String)| {
        Ok((store.data().host.state.kv.set(&key, value),))
    })?;
    interface.func_wrap("delete", |store, (key,): (String,)| {
        store.data().host.state.kv.delete(&key);
        Ok(())
    })
}

/// The store of one plugin.
pub(super) struct Kv {
    /// The limit of bytes.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Box<str>, Arc<str>>,
    /// Bytes in use.
    used: usize,
}

impl Kv {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    fn get(&self, key: &str) -> Option<Arc<str>> {
        lock(&self.state).entries.get(key).cloned()
    }

    /// Returns whether there was room.
    fn set(&self, key: &str, value: String) -> bool {
        let mut state = lock(&self.state);
        let old = state.entries.get(key).map_or(0, |old| cost(key, old));
        let used = state.used - old + cost(key, &value);
        if used > self.limit {
            return false;
        }
        state.used = used;
        state.entries.insert(key.into(), value.into());
        true
    }

    fn delete(&self, key: &str) {
        let mut state = lock(&self.state);
        if let Some(old) = state.entries.remove(key) {
            state.used -= cost(key, &old);
        }
    }
}

fn cost(key: &str, value: &str) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_has_room_after_delete() {
        let kv = Kv::new(2 * (ENTRY_BYTES + 10));
        assert!(kv.set("a", "123456789".to_owned()));
        assert!(kv.set("b", "123456789".to_owned()));
        assert!(!kv.set("b", "1234567890".to_owned()));
        assert!(!kv.set("", String::new()));
        assert_eq!(kv.get("b").as_deref(), Some("123456789"), "the old value");
        assert!(kv.set("b", String::new()) && kv.set("b", "987654321".to_owned()));
        kv.delete("a");
        kv.delete("a");
        assert!(kv.set("", String::new()));
        assert_eq!((kv.get("a"), kv.get("").as_deref()), (None, Some("")));
        for key in ["", "b"] {
            kv.delete(key);
        }
        assert_eq!(lock(&kv.state).used, 0);
    }
}
