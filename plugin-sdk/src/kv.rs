//! A key-value store that outlives the instance: its entries survive a fault and a reload. Each plugin has its own store of
//! at most 1 MiB, keys included. The store is lost when lightmon exits.
//!
//! ```
//! use lightmon_plugin::kv;
//!
//! // Counts the instances of the plugin.
//! let starts = kv::get("starts").and_then(|text| text.parse().ok()).unwrap_or(0u64);
//! kv::set("starts", &(starts + 1).to_string());
//! # assert_eq!(kv::get("starts").as_deref(), Some("1"));
//! # kv::delete("starts");
//! # assert_eq!(kv::get("starts"), None);
//! ```

use alloc::string::String;

use crate::host;

/// Returns the value of a key.
pub fn get(key: &str) -> Option<String> {
    host::kv::get(key)
}

/// Sets the value of a key. Returns false if the store is full; the key then keeps its old value.
pub fn set(key: &str, value: &str) -> bool {
    host::kv::set(key, value)
}

/// Removes a key, if it is there.
pub fn delete(key: &str) {
    host::kv::delete(key);
}
