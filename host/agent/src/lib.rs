//! The binary `lightmon`: its command line, settings and commands, and the pipeline that puts the stages in order.
//!
//! Events travel one way, in batches. [`pipeline`] states the order of the stages:
//!
//! ```text
//! source ──► identity ──► filter ──► plugins ──► output
//! ```
//!
//! Each stage is a crate of its own. No stage depends on another.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod help;
pub mod pipeline;
pub mod record;
pub mod run;
