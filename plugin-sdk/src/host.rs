//! Selects the implementation of the host's functions: imports in WebAssembly, the test harness elsewhere.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::lightmon::plugin::{counter, kv, log, tables};

#[cfg(all(not(target_arch = "wasm32"), feature = "std"))]
pub(crate) use crate::test::host::{counter, kv, log, tables};

#[cfg(not(any(target_arch = "wasm32", feature = "std")))]
pub(crate) use absent::{counter, kv, log, tables};

/// Used with neither WebAssembly nor a harness: discards all input and grants no table.
#[cfg(not(any(target_arch = "wasm32", feature = "std")))]
mod absent {
    pub(crate) mod log {
        pub(crate) fn log(_: u8, _: &str) {}
    }

    pub(crate) mod counter {
        pub(crate) fn add(_: &str, _: u64) {}
    }

    pub(crate) mod kv {
        use alloc::string::String;

        pub(crate) fn get(_: &str) -> Option<String> {
            None
        }

        pub(crate) fn set(_: &str, _: &str) -> bool {
            false
        }

        pub(crate) fn delete(_: &str) {}
    }

    pub(crate) mod tables {
        use alloc::{format, string::String, vec, vec::Vec};

        use crate::bindings::Ip;

        pub(crate) fn open(name: &str, _: &str) -> Result<u32, String> {
            Err(format!("table `{name}` was not granted"))
        }

        pub(crate) fn lookup_ip(_: u32, addresses: &[Ip]) -> Vec<Option<String>> {
            vec![None; addresses.len()]
        }

        pub(crate) fn lookup_name(_: u32, names: &[String]) -> Vec<Option<String>> {
            vec![None; names.len()]
        }
    }
}
