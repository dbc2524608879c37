//! The binary `lightmon`: its command line, settings and commands, and the pipeline that puts the stages in order.
//!
//! Events travel one way, in batches; [`pipeline`] is the one file that says the order:
//!
//! ```text
//! source ──► identity ──► filter ──► plugins ──► output
//! ```
//!
//! The stages are crates of their own, and none knows another.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod pipeline;
pub mod record;
pub mod run;
