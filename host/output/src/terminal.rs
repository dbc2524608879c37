//! What the table knows about its terminal: width and colours.
//! Prints nothing, and sends no request to the terminal.

use std::{
    env,
    io::{self, IsTerminal as _},
};

/// A terminal, or the lack of one.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Returns its current width, and is called before each batch; `None` if there is no terminal.
    pub width: fn() -> Option<u16>,
    /// Whether to use colours.
    pub color: bool,
}

impl Terminal {
    /// A pipe or a file.
    pub const NONE: Self = Self {
        width: || None,
        color: false,
    };

    /// The terminal behind standard output. It gets colours unless `NO_COLOR` is set and not empty, or `TERM` is `dumb`.
    pub fn of_stdout() -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            width: stdout_width,
            color: io::stdout().is_terminal() && !no_color && !dumb,
        }
    }
}

fn stdout_width() -> Option<u16> {
    // A serial console reports 0.
    io::stdout().is_terminal().then(|| {
        comfy_table::Table::new()
            .width()
            .filter(|&width| width > 0)
            .unwrap_or(80)
    })
}
