//! Filters for connections: reads the exclude language, decides about events, and compiles what the kernel can decide.
//!
//! Does no I/O, and repairs nothing: text that is not an expression is an [`Error`] with the place marked. The page of the
//! manual follows.
//!
#![doc = include_str!("../../docs/filters.md")]

mod error;
mod expr;
mod kernel;
mod parse;

#[cfg(any(fuzzing, test))]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::Relaxed;

use lightmon_event::{Event, Stats};

pub use self::{error::Error, expr::Expr};

/// The filter stage: removes the events that any of its expressions matches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exclude(Vec<Expr>);

impl Exclude {
    /// Reads the expressions, once for the whole run.
    ///
    /// # Errors
    /// The first error in the first expression that has one.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let exprs = texts.into_iter().map(|text| text.as_ref().parse());
        // A blank expression, for example from an empty variable in a script, excludes nothing.
        let not_blank = exprs.filter(|expr| !expr.as_ref().is_ok_and(Expr::is_empty));
        not_blank.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are no expressions, so that no event is excluded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event is excluded.
    pub fn matches(&self, event: &Event) -> bool {
        self.0.iter().any(|expr| expr.matches(event))
    }

    /// Removes the excluded events from the batch and counts them; the others keep their order.
    pub fn retain(&self, batch: &mut Vec<Event>, stats: &Stats) {
        let before = batch.len();
        batch.retain(|event| !self.matches(event));
        let excluded = before - batch.len();
        stats.excluded_host.fetch_add(excluded as u64, Relaxed);
    }
}
