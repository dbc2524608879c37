//! What the table has to know of the terminal it is shown on.
//! Prints nothing, and asks no terminal anything that would need an answer from it.

use std::{
    env,
    io::{self, IsTerminal as _},
};

/// A terminal, or the lack of one.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Its width now, asked again before each batch; none when it is no terminal.
    pub width: fn() -> Option<u16>,
    /// Whether colours are welcome.
    pub color: bool,
}

impl Terminal {
    /// What a pipe or a file is.
    pub const NONE: Self = Self {
        width: || None,
        color: false,
    };

    /// What standard output is. Colours: on a terminal, unless `NO_COLOR` is there and not empty, or `TERM` is `dumb`.
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
    // A serial console says 0.
    io::stdout().is_terminal().then(|| {
        comfy_table::Table::new()
            .width()
            .filter(|&width| width > 0)
            .unwrap_or(80)
    })
}
