//! Compiled plugins, kept from one run to the next: compiling takes tens of milliseconds, for large ones seconds.
//!
//! Machine code can't be checked, only trusted: it is taken from nowhere but a [`Folder`] that nobody else can write to,
//! and only for the very bytes, engine and lightmon that it was made for. On any doubt the plugin is compiled again.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use blake3::Hasher;
use wasmtime::{Engine, component::Component};

use self::folder::Folder;
use super::{Digest, Reason};
use lightmon_event::escape::printable;

mod folder;

/// Of an entry: the digest of the key and the code comes first, then the code.
const DIGEST: usize = 32;

/// Says where an entry belongs: the digest of all that the code depends on.
type Key = [u8; DIGEST];

/// Compiled plugins in a folder, or nothing when there is none that can be trusted.
pub(super) struct Cache {
    folder: Option<Folder>,
    /// A full disk is said once, not for each plugin.
    has_failed: AtomicBool,
}

impl Cache {
    /// Opens the folder, and makes it where it is missing. What is wrong with it is said, and then there is no cache.
    pub(super) fn open(path: Option<&Path>) -> Self {
        let folder = path.and_then(|path| {
            let folder = Folder::open(path).inspect_err(|error| {
                let path = printable(&path.to_string_lossy());
                tracing::warn!("plugins are compiled at each start: the cache {path} {error}; choose another with --cache-dir, or none");
            });
            folder.ok()
        });
        Self {
            folder,
            has_failed: AtomicBool::new(false),
        }
    }

    /// The plugin as it was compiled before, or else as it is compiled now, which is kept for the next time.
    pub(super) fn component(
        &self,
        engine: &Engine,
        plugin: Digest,
        compile: impl FnOnce() -> Result<Component, Reason>,
    ) -> Result<Component, Reason> {
        let Some(folder) = &self.folder else {
            return compile();
        };
        let key = key(engine, plugin);
        match read(folder, engine, &key) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(doubt) => {
                tracing::warn!(entry = name(&key), "compiled plugin is made anew: {doubt}");
            }
        }
        let component = compile()?;
        if let Err(error) = write(folder, &component, &key)
            && !self.has_failed.swap(true, Relaxed)
        {
            tracing::warn!("compiled plugins can't be kept for the next start: {error}");
        }
        Ok(component)
    }
}

/// Why an entry is not used.
#[derive(Debug, thiserror::Error)]
enum Doubt {
    #[error("the old one {0}")]
    File(#[from] folder::Error),
    #[error("the old one is damaged, or another plugin's")]
    Damaged,
    #[error("the old one is refused: {0}")]
    Refused(String),
}

#[expect(
    unsafe_code,
    reason = "wasmtime believes machine code: this is where lightmon says that it is its own"
)]
fn read(folder: &Folder, engine: &Engine, key: &Key) -> Result<Option<Component>, Doubt> {
    let Some(entry) = folder.read(&name(key))? else {
        return Ok(None);
    };
    let (expected, code) = entry.split_first_chunk().ok_or(Doubt::Damaged)?;
    if *expected != digest(key, code) {
        return Err(Doubt::Damaged);
    }
    // SAFETY: `deserialize` wants what `Component::serialize` has made, unchanged, for an engine like this one.
    // - Made by it: `write` alone makes such entries, and nobody but this user could have put another in its place: the
    //   folder and the file, asked through what was opened, are this user's and closed to others. Whoever can act as this
    //   user needs no plugin to do so, since lightmon was not started with more rights than they have (`Folder::open`).
    // - Unchanged: the digest is that of `code`, a copy in memory that no file is behind any more.
    // - For this engine: the key, which the digest is of as well, names its target, settings and wasmtime's version.
    let component = unsafe { Component::deserialize(engine, code) };
    component
        .map(Some)
        .map_err(|error| Doubt::Refused(printable(&format!("{error:#}"))))
}

fn write(folder: &Folder, component: &Component, key: &Key) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    Ok(folder.write(&name(key), &[&digest(key, &code), &code])?)
}

/// Of the file as the user gave it: what is made of it on the way to a component depends on lightmon's version only.
fn key(engine: &Engine, plugin: Digest) -> Key {
    let mut environment = DefaultHasher::new();
    // Target, processor features, settings and the exact version of wasmtime.
    engine
        .precompile_compatibility_hash()
        .hash(&mut environment);
    let mut key = Hasher::new();
    key.update(&environment.finish().to_le_bytes());
    key.update(env!("CARGO_PKG_VERSION").as_bytes());
    key.update(&[0]);
    key.update(&plugin.0);
    key.finalize().into()
}

fn digest(key: &Key, code: &[u8]) -> [u8; DIGEST] {
    // At each start, over megabytes of code: the fastest that is known to be sound.
    Hasher::new_keyed(key).update(code).finalize().into()
}

fn name(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_one_plugin_and_one_engine() {
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
