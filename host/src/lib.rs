//! lightmon: who on this host connects where, and how it ended.
//!
//! Events travel one way, in batches; `pipeline.rs` is the one file that says the order:
//!
//! ```text
//! source ──► enrich ──► exclude ──► plugin ──► output
//! ```
//!
//! Stages never import each other: what they share is the [`event`], and what they count goes to [`stats`].

pub mod author;
pub mod canary;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod enrich;
mod escape;
pub mod event;
pub mod exclude;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod messages;
pub mod notice;
pub mod output;
pub mod pipeline;
pub mod plugin;
pub mod privileges;
pub mod record;
pub mod run;
pub mod source;
pub mod stats;
