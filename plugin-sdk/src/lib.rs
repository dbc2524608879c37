//! Write lightmon plugins in Rust.
