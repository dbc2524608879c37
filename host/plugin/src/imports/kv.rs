//! `kv`: a small memory that outlives the instance. It is the host's, so that a fault can't spoil it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use wasmtime::component::LinkerInstance;

use super::{super::engine::Data, Host};
use lightmon_thread::lock;

/// What an entry costs beside its texts, so that empty ones are not free.
const ENTRY: usize = 64;

pub(super) fn link(interface: &mut LinkerInstance<'_, Data<Host>>) -> wasmtime::Result<()> {
    interface.func_wrap("get", |store, (key,): (String,)| {
        Ok((store.data().host.kept.kv.get(&key),))
    })?;
    interface.func_wrap("set", |store, (key, value): (String, String)| {
        Ok((store.data().host.kept.kv.set(&key, value),))
    })?;
    interface.func_wrap("delete", |store, (key,): (String,)| {
        store.data().host.kept.kv.delete(&key);
        Ok(())
    })
}

/// One plugin's memory.
pub(super) struct Kv {
    /// Most bytes.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Box<str>, Arc<str>>,
    /// Bytes.
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

    /// Whether there is room.
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
    key.len() + value.len() + ENTRY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_until_something_is_deleted() {
        let kv = Kv::new(2 * (ENTRY + 10));
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
