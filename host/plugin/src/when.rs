//! Compiles `when` expressions, which select the events that a plugin gets. They are in the language of the filter.

use lightmon_event::Event;
use lightmon_filter::{Error, Expr};

/// A compiled expression: tells whether a plugin gets an event.
pub type When = Box<dyn Fn(&Event) -> bool + Send>;

/// Compiles an expression; the error is text.
pub type Compile = fn(&str) -> Result<When, String>;

/// Compiles an expression of the filter language.
///
/// # Errors
/// If the text is not an expression.
pub fn when(expression: &str) -> Result<When, String> {
    let expression: Expr = expression
        .parse()
        .map_err(|error: Error| error.to_string())?;
    Ok(Box::new(move |event| expression.matches(event)))
}
