//! Which events a plugin gets: expressions of the exclude language, from its user or from the plugin itself.

use lightmon_event::Event;
use lightmon_filter::{Error, Expr};

/// A compiled expression: whether a plugin gets an event.
pub type When = Box<dyn Fn(&Event) -> bool + Send>;

/// Compiles an expression; the error is its text.
pub type Compile = fn(&str) -> Result<When, String>;

/// Compiles an expression of the exclude language.
///
/// # Errors
/// When the text is no expression.
pub fn when(expression: &str) -> Result<When, String> {
    let expression: Expr = expression
        .parse()
        .map_err(|error: Error| error.to_string())?;
    Ok(Box::new(move |event| expression.matches(event)))
}
