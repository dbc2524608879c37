//! Stores compiled plugins on disk: compiling takes tens of milliseconds, and seconds for a large plugin.
//!
//! Machine code can't be checked, only trusted. So the code is only read from a [`CacheDir`] that no other user can write to,
//! and only used for the same plugin, engine and version of lightmon. In any other case the plugin is compiled again.

mod dir;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use lightmon_event::escape::printable;
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use self::dir::CacheDir;
use crate::{error::Reason, spec::Digest};

/// The size of a digest. An entry is the digest of key and code, followed by the code.
const DIGEST_BYTES: usize = 32;

/// Names an entry: the digest of everything that the code depends on.
type Key = [u8; DIGEST_BYTES];

/// Compiled plugins in a directory. Without a directory that can be trusted, nothing is stored.
pub(crate) struct Cache {
    dir: Option<CacheDir>,
    /// A full disk is logged once, not for each plugin.
    has_failed: AtomicBool,
}

impl Cache {
    /// Opens the directory, and creates it if it is missing. If it can't be used, logs why and stores nothing.
    pub(crate) fn open(path: Option<&Path>) -> Self {
        let dir = path.and_then(|path| {
            let dir = CacheDir::open(path).inspect_err(|error| {
                let path = printable(&path.to_string_lossy());
                tracing::warn!("plugins are compiled at each start: the cache {path} {error}; choose another with --cache-dir, or none");
            });
            dir.ok()
        });
        Self {
            dir,
            has_failed: AtomicBool::new(false),
        }
    }

    /// Returns the stored component of a plugin. If there is none, compiles and stores it.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        plugin: Digest,
        compile: impl FnOnce() -> Result<Component, Reason>,
    ) -> Result<Component, Reason> {
        let Some(dir) = &self.dir else {
            return compile();
        };
        let key = key(engine, plugin);
        match read(dir, engine, &key) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(entry = name(&key), "plugin is compiled again: {error}");
            }
        }
        let component = compile()?;
        if let Err(error) = write(dir, &component, &key)
            && !self.has_failed.swap(true, Relaxed)
        {
            tracing::warn!("compiled plugins can't be stored for the next start: {error}");
        }
        Ok(component)
    }
}

/// Why a stored component is not used.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("the stored one {0}")]
    File(#[from] dir::Error),
    #[error("the stored one is damaged, or another plugin's")]
    Damaged,
    #[error("the stored one is refused: {0}")]
    Refused(String),
}

#[expect(
    unsafe_code,
    reason = "wasmtime runs stored machine code without a check: see SAFETY"
)]
fn read(dir: &CacheDir, engine: &Engine, key: &Key) -> Result<Option<Component>, EntryError> {
    let Some(entry) = dir.read(&name(key))? else {
        return Ok(None);
    };
    let (expected, code) = entry.split_first_chunk().ok_or(EntryError::Damaged)?;
    if *expected != digest(key, code) {
        return Err(EntryError::Damaged);
    }
    // SAFETY: `deserialize` needs the unchanged output of `Component::serialize` of an engine like this one.
    // - Output of `serialize`: only `write` makes such entries, and only this user could have replaced one. The directory and
    //   the file belong to this user, and no other user can write to them; both were checked through their descriptors. This
    //   user gains nothing by such code: `CacheDir::open` fails if lightmon has more rights than the user who started it.
    // - Unchanged: the digest matches `code`, which is a copy in memory and not a mapped file.
    // - Of this engine: the digest includes the key, which names the target, the settings and the version of wasmtime.
    let component = unsafe { Component::deserialize(engine, code) };
    component
        .map(Some)
        .map_err(|error| EntryError::Refused(printable(&format!("{error:#}"))))
}

fn write(dir: &CacheDir, component: &Component, key: &Key) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    Ok(dir.write(&name(key), &[&digest(key, &code), &code])?)
}

/// Uses the digest of the plugin's file: encoding it as a component depends only on the version of lightmon.
fn key(engine: &Engine, plugin: Digest) -> Key {
    let mut environment = DefaultHasher::new();
    // Target, processor features, settings and the exact version of wasmtime.
    engine
        .precompile_compatibility_hash()
        .hash(&mut environment);
    let mut key = Sha256::new();
    key.update(environment.finish().to_le_bytes());
    key.update(env!("CARGO_PKG_VERSION").as_bytes());
    key.update([0]);
    key.update(plugin.0);
    key.finalize().into()
}

fn digest(key: &Key, code: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new()
        .chain_update(key)
        .chain_update(code)
        .finalize()
        .into()
}

fn name(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_depends_on_plugin_and_engine() {
        let mut other = wasmtime::Config::new();
        other.epoch_interruption(true);
        let other = Engine::new(&other).unwrap();
        let engine = Engine::default();
        assert_eq!(
            key(&engine, Digest::of(b"a")),
            key(&Engine::default(), Digest::of(b"a"))
        );
        assert_ne!(
            key(&engine, Digest::of(b"a")),
            key(&engine, Digest::of(b"b"))
        );
        assert_ne!(
            key(&engine, Digest::of(b"a")),
            key(&other, Digest::of(b"a"))
        );
    }
}
