//! `wasi`: the functions that the standard libraries of other languages need, with nothing behind them: no files, no network,
//! no environment, no waiting.
//!
//! Compilers for Go, Python or JavaScript import WASI even if a plugin does not use it. Plugins get clocks, random numbers, and
//! output that goes to the log. A call of any other function traps, and the trap names the function. No function blocks, since
//! the deadline can't interrupt the host: a plugin that waits for a time is told at once that the time has come.
//!
//! The interfaces: <https://github.com/WebAssembly/WASI/tree/v0.2.3/wasip2>.

mod lines;

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

pub(crate) use self::lines::LineBuffer;
use crate::error::Fault;

/// The provided version; all patch versions are compatible.
const VERSION: &str = "0.2.";

/// Random bytes of one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Bytes of one write to a stream.
const MAX_WRITE_BYTES: u64 = 4096;

/// Resources of one instance: each costs the host a few bytes.
const MAX_RESOURCES: u32 = 10_000;

/// The host's side of an instance.
pub(crate) trait Host {
    /// Logs a piece of text that was written to stdout or stderr.
    fn output(&mut self, is_stderr: bool, bytes: &[u8]);

    /// The number of resources of the instance.
    fn resources(&mut self) -> &mut u32;
}

/// The type of all resources. Only their numbers tell them apart, since there is nothing behind them.
struct Empty;

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// A timer that has expired.
const POLLABLE: u32 = 3;

/// Whether an import is WASI in the provided version.
pub(crate) fn is_wasi(import: &str) -> bool {
    let name = import.strip_prefix("wasi:");
    name.and_then(|name| name.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with(VERSION))
}

/// Defines the part of WASI that a component imports.
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
                    linker.resource(name, ResourceType::host::<Empty>(), |mut store, _| {
                        let resources = store.data_mut().resources();
                        *resources = resources.saturating_sub(1);
                        Ok(())
                    })?;
                }
                ComponentItem::ComponentFunc(_) if !function(&mut linker, interface, name)? => {
                    let missing =
                        format!("it called {interface}#{name}, which lightmon does not provide");
                    linker.func_new(name, move |_, _, _, _| Err(trap(missing.clone())))?;
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
    LastOperationFailed(Resource<Empty>),
    #[component(name = "closed")]
    Closed,
}

/// Defines a function of WASI. Returns whether lightmon provides the function.
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
            linker.func_wrap(name, |store, (): ()| new_resource(store, STDIN))
        }
        ("wasi:cli/stdout", "get-stdout") => {
            linker.func_wrap(name, |store, (): ()| new_resource(store, STDOUT))
        }
        ("wasi:cli/stderr", "get-stderr") => {
            linker.func_wrap(name, |store, (): ()| new_resource(store, STDERR))
        }
        (
            "wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr",
            _,
        ) => linker.func_wrap(name, |_, (): ()| Ok((None::<Resource<Empty>>,))),
        ("wasi:filesystem/preopens", "get-directories") => linker.func_wrap(name, |_, (): ()| {
            Ok((Vec::<(Resource<Empty>, String)>::new(),))
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
            linker.func_wrap(name, |store, (_,): (u64,)| new_resource(store, POLLABLE))
        }
        (
            "wasi:random/random" | "wasi:random/insecure",
            "get-random-bytes" | "get-insecure-random-bytes",
        ) => linker.func_wrap(name, |_, (length,): (u64,)| {
            if length > MAX_RANDOM_BYTES {
                return Err(trap(format!(
                    "it requested {length} random bytes, the limit is {MAX_RANDOM_BYTES}"
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
        ("wasi:io/poll", "poll") => linker.func_wrap(name, |_, (all,): (Vec<Resource<Empty>>,)| {
            Ok(((0..all.len() as u32).collect::<Vec<_>>(),))
        }),
        ("wasi:io/poll", "[method]pollable.ready") => {
            linker.func_wrap(name, |_, (_,): (Resource<Empty>,)| Ok((true,)))
        }
        ("wasi:io/poll", "[method]pollable.block") => {
            linker.func_wrap(name, |_, (_,): (Resource<Empty>,)| Ok(()))
        }
        ("wasi:io/streams", name) => return stream(linker, name),
        _ => return Ok(false),
    }?;
    Ok(true)
}

fn stream<T: Host + 'static>(linker: &mut LinkerInstance<'_, T>, name: &str) -> Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => linker
            .func_wrap(name, |_, (_, _): (Resource<Empty>, u64)| {
                Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
            }),
        "[method]input-stream.subscribe" | "[method]output-stream.subscribe" => linker
            .func_wrap(name, |store, (_,): (Resource<Empty>,)| {
                new_resource(store, POLLABLE)
            }),
        "[method]output-stream.check-write" => linker
            .func_wrap(name, |_, (_,): (Resource<Empty>,)| {
                Ok((Ok::<_, StreamError>(MAX_WRITE_BYTES),))
            }),
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => linker
            .func_wrap(
                name,
                |mut store: StoreContextMut<'_, T>, (stream, bytes): (Resource<Empty>, Vec<u8>)| {
                    store.data_mut().output(stream.rep() == STDERR, &bytes);
                    Ok((Ok::<(), StreamError>(()),))
                },
            ),
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => linker
            .func_wrap(name, |_, (_,): (Resource<Empty>,)| {
                Ok((Ok::<(), StreamError>(()),))
            }),
        _ => return Ok(false),
    }?;
    Ok(true)
}

/// Gives the instance a new resource; the instance drops it.
fn new_resource<T: Host>(
    mut store: StoreContextMut<'_, T>,
    number: u32,
) -> Result<(Resource<Empty>,)> {
    let resources = store.data_mut().resources();
    if *resources >= MAX_RESOURCES {
        return Err(trap(format!(
            "it has {resources} resources and requested one more"
        )));
    }
    *resources += 1;
    Ok((Resource::new_own(number),))
}

/// Makes the call trap for this reason.
fn trap(reason: String) -> wasmtime::Error {
    Fault::Trap(reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_0_2_is_provided() {
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
