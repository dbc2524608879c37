//! The command `lightmon`.
fn main() {}
