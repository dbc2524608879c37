//! WASI as the libraries of other languages expect it, with nothing behind: no files, no network, no environment, no waiting.
//!
//! Compilers for Go, Python or JavaScript import it whether a plugin uses it or not. There are clocks, random numbers, and output, which goes
//! to the log. What is not here ends the plugin with a trap that says its name. Nothing blocks, since a deadline can't
//! interrupt the host: whoever waits for a time is told at once that it has come.
//!
//! The interfaces: <https://github.com/WebAssembly/WASI/tree/v0.2.3/wasip2>.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use wasmtime::{
    Result, StoreContextMut,
    component::{
        Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType,
        types::ComponentItem,
    },
};

use crate::Fault;

/// The version that is here; patch versions differ in nothing that matters.
const VERSION: &str = "0.2.";

/// Bytes of random numbers in one answer.
const MOST_RANDOM: u64 = 64 << 10;

/// Bytes that a stream takes at once.
const MOST_OUTPUT: u64 = 4096;

/// Resources that a plugin has at the same time: each costs the host a few bytes.
const MOST_RESOURCES: u32 = 10_000;

/// What stands behind an instance.
pub(crate) trait Host {
    /// Takes a piece of text that was written to stdout or stderr.
    fn output(&mut self, is_stderr: bool, bytes: &[u8]);

    /// How many resources the instance has.
    fn resources(&mut self) -> &mut u32;
}

/// All resources are this one, for there is nothing behind any; which it is, is its number.
struct Nothing;

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// A time that has come.
const POLLABLE: u32 = 3;

/// Whether an import is WASI of the version that is here.
pub(crate) fn is_wasi(import: &str) -> bool {
    let name = import.strip_prefix("wasi:");
    name.and_then(|name| name.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with(VERSION))
}

/// Defines what a component imports of WASI, and nothing else.
pub(crate) fn define<T: Host + 'static>(
    linker: &mut Linker<T>,
    component: &Component,
) -> Result<()> {
    let engine = linker.engine().clone();
    for (import, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            continue;
        };
        if !is_wasi(import) {
            continue;
        }
        let interface = import.split_once('@').map_or(import, |(name, _)| name);
        let mut linker = linker.instance(import)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::Resource(_) => {
                    linker.resource(name, ResourceType::host::<Nothing>(), |mut store, _| {
                        let resources = store.data_mut().resources();
                        *resources = resources.saturating_sub(1);
                        Ok(())
                    })?;
                }
                ComponentItem::ComponentFunc(_) if !function(&mut linker, interface, name)? => {
                    let absent = format!("it called {interface}#{name}, which plugins don't have");
                    linker.func_new(name, move |_, _, _, _| Err(trap(absent.clone())))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl From<Duration> for Datetime {
    fn from(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
            nanoseconds: time.subsec_nanos(),
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "it is a part of the type")]
    LastOperationFailed(Resource<Nothing>),
    #[component(name = "closed")]
    Closed,
}

/// Defines the function if it is one that is here, and says whether.
fn function<T: Host + 'static>(
    linker: &mut LinkerInstance<'_, T>,
    interface: &str,
    name: &str,
) -> Result<bool> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    type Texts = Vec<(String, String)>;
    match (interface, name) {
        ("wasi:cli/environment", "get-environment") => {
            linker.func_wrap(name, |_, (): ()| Ok((Texts::new(),)))
        }
        ("wasi:cli/environment", "get-arguments") => {
            linker.func_wrap(name, |_, (): ()| Ok((Vec::<String>::new(),)))
        }
        ("wasi:cli/environment", "initial-cwd") => {
            linker.func_wrap(name, |_, (): ()| Ok((None::<String>,)))
        }
        ("wasi:cli/exit", "exit") => linker.func_wrap(name, |_, (_,): (Result<(), ()>,)| {
            Err::<(), _>(trap("exit was called".to_owned()))
        }),
        ("wasi:cli/stdin", "get-stdin") => {
            linker.func_wrap(name, |store, (): ()| own(store, STDIN))
        }
        ("wasi:cli/stdout", "get-stdout") => {
            linker.func_wrap(name, |store, (): ()| own(store, STDOUT))
        }
        ("wasi:cli/stderr", "get-stderr") => {
            linker.func_wrap(name, |store, (): ()| own(store, STDERR))
        }
        (
            "wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr",
            _,
        ) => linker.func_wrap(name, |_, (): ()| Ok((None::<Resource<Nothing>>,))),
        ("wasi:filesystem/preopens", "get-directories") => linker.func_wrap(name, |_, (): ()| {
            Ok((Vec::<(Resource<Nothing>, String)>::new(),))
        }),
        ("wasi:clocks/wall-clock", "now") => linker.func_wrap(name, |_, (): ()| {
            let time = Duration::try_from(Timestamp::now().as_duration());
            Ok((Datetime::from(time.unwrap_or_default()),))
        }),
        ("wasi:clocks/wall-clock", "resolution") => linker.func_wrap(name, |_, (): ()| {
            Ok((Datetime::from(Duration::from_nanos(1)),))
        }),
        ("wasi:clocks/monotonic-clock", "now") => linker.func_wrap(name, |_, (): ()| {
            let time = START.elapsed().as_nanos();
            Ok((u64::try_from(time).unwrap_or(u64::MAX),))
        }),
        ("wasi:clocks/monotonic-clock", "resolution") => {
            linker.func_wrap(name, |_, (): ()| Ok((1_u64,)))
        }
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            linker.func_wrap(name, |store, (_,): (u64,)| own(store, POLLABLE))
        }
        (
            "wasi:random/random" | "wasi:random/insecure",
            "get-random-bytes" | "get-insecure-random-bytes",
        ) => linker.func_wrap(name, |_, (length,): (u64,)| {
            if length > MOST_RANDOM {
                return Err(trap(format!(
                    "it asked for {length} random bytes, {MOST_RANDOM} is the limit"
                )));
            }
            let mut bytes = vec![0; length as usize];
            getrandom::fill(&mut bytes)?;
            Ok((bytes,))
        }),
        (
            "wasi:random/random" | "wasi:random/insecure",
            "get-random-u64" | "get-insecure-random-u64",
        ) => linker.func_wrap(name, |_, (): ()| Ok((getrandom::u64()?,))),
        ("wasi:random/insecure-seed", "insecure-seed") => linker.func_wrap(name, |_, (): ()| {
            Ok(((getrandom::u64()?, getrandom::u64()?),))
        }),
        ("wasi:io/poll", "poll") => linker
            .func_wrap(name, |_, (all,): (Vec<Resource<Nothing>>,)| {
                Ok(((0..all.len() as u32).collect::<Vec<_>>(),))
            }),
        ("wasi:io/poll", "[method]pollable.ready") => {
            linker.func_wrap(name, |_, (_,): (Resource<Nothing>,)| Ok((true,)))
        }
        ("wasi:io/poll", "[method]pollable.block") => {
            linker.func_wrap(name, |_, (_,): (Resource<Nothing>,)| Ok(()))
        }
        ("wasi:io/streams", name) => return stream(linker, name),
        _ => return Ok(false),
    }?;
    Ok(true)
}

fn stream<T: Host + 'static>(linker: &mut LinkerInstance<'_, T>, name: &str) -> Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => linker
            .func_wrap(name, |_, (_, _): (Resource<Nothing>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            }),
        "[method]input-stream.subscribe" | "[method]output-stream.subscribe" => linker
            .func_wrap(name, |store, (_,): (Resource<Nothing>,)| {
                own(store, POLLABLE)
            }),
        "[method]output-stream.check-write" => linker
            .func_wrap(name, |_, (_,): (Resource<Nothing>,)| {
                Ok((Ok::<_, StreamError>(MOST_OUTPUT),))
            }),
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => linker
            .func_wrap(
                name,
                |mut store: StoreContextMut<'_, T>,
                 (stream, bytes): (Resource<Nothing>, Vec<u8>)| {
                    store.data_mut().output(stream.rep() == STDERR, &bytes);
                    Ok((Ok::<(), StreamError>(()),))
                },
            ),
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => linker
            .func_wrap(name, |_, (_,): (Resource<Nothing>,)| {
                Ok((Ok::<(), StreamError>(()),))
            }),
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// Gives the instance a resource, which it has to give back some time.
fn own<T: Host>(mut store: StoreContextMut<'_, T>, number: u32) -> Result<(Resource<Nothing>,)> {
    let resources = store.data_mut().resources();
    if *resources >= MOST_RESOURCES {
        return Err(trap(format!(
            "it has {resources} resources and asked for one more"
        )));
    }
    *resources += 1;
    Ok((Resource::new_own(number),))
}

/// Ends the instance, with that reason.
fn trap(reason: String) -> wasmtime::Error {
    Fault::Trap(reason).into()
}

/// Text that comes in pieces, as the lines that it makes.
#[derive(Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// A longer line is two.
    const LONGEST: usize = 2048;

    /// Takes a piece, and calls `line` with each line that ends in it.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for part in part.chunks(Self::LONGEST) {
                self.0.extend_from_slice(part);
                if part.ends_with(b"\n") || self.0.len() >= Self::LONGEST {
                    let text = String::from_utf8_lossy(&self.0);
                    if !text.trim().is_empty() {
                        line(text.trim_end());
                    }
                    self.0.clear();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        let long = "x".repeat(Lines::LONGEST + 1);
        for piece in ["pan", "ic: ", "no\n\ngoroutine\nrest", &long, "\n"] {
            lines.push(piece.as_bytes(), |line| all.push(line.to_owned()));
        }
        assert_eq!(all[..2], ["panic: no", "goroutine"]);
        assert_eq!(all[2..].concat(), format!("rest{long}"));
        assert!(
            all.iter().all(|line| line.len() <= Lines::LONGEST + 4),
            "{}",
            all.len()
        );
    }

    #[test]
    fn only_one_version_is_here() {
        assert!(is_wasi("wasi:cli/environment@0.2.3"));
        for other in [
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment",
            "lightmon:plugin/log@0.1.0",
        ] {
            assert!(!is_wasi(other), "{other}");
        }
    }
}
