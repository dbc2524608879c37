//! A memory that outlives the instance: what a plugin puts here is there again after a fault, and after its file has changed.
//! It holds 1 MiB, keys included, is the plugin's alone, and ends with lightmon.
//!
//! ```
//! use lightmon_plugin::kv;
//!
//! // How often the plugin has been made.
//! let starts = kv::get("starts").and_then(|text| text.parse().ok()).unwrap_or(0u64);
//! kv::set("starts", &(starts + 1).to_string());
//! # assert_eq!(kv::get("starts").as_deref(), Some("1"));
//! # kv::delete("starts");
//! # assert_eq!(kv::get("starts"), None);
//! ```

use alloc::string::String;

use crate::host;

/// What was put there, if anything was.
pub fn get(key: &str) -> Option<String> {
    host::kv::get(key)
}

/// Puts a value there; false when there is no room, and the key keeps its old value.
pub fn set(key: &str, value: &str) -> bool {
    host::kv::set(key, value)
}

/// Takes a value away, if there is one.
pub fn delete(key: &str) {
    host::kv::delete(key);
}
