//! Numbers that lightmon shows in its summary, beside what the plugin has dropped and cost.
//!
//! ```
//! use lightmon_plugin::counter;
//!
//! counter::add("suppressed", 1);
//! ```

use crate::host;

/// Adds to a counter, which begins at 0. A plugin has at most 64 of them; lightmon leaves out what goes beyond that.
pub fn add(name: &str, delta: u64) {
    host::counter::add(name, delta);
}
