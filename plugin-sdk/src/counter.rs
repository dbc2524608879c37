//! Counters that lightmon shows in its summary, next to the number of dropped events and the time that the plugin took.
//!
//! ```
//! use lightmon_plugin::counter;
//!
//! counter::add("suppressed", 1);
//! ```

use crate::host;

/// Adds to a counter, which starts at 0. A plugin has at most 64 counters; lightmon ignores further names.
pub fn add(name: &str, delta: u64) {
    host::counter::add(name, delta);
}
