//! The sinks: what lines are appended to. Each sink is a file in this folder and a line in [`open`].
//! Buffers nothing, and tries nothing again that has failed. Says how much was really written.

mod files;
mod line_writer;
mod stdout;

use std::fmt;

use jiff::Timestamp;

use self::files::Files;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::line_writer::LineWriter;
pub(crate) use self::stdout::Stdout;
use crate::{Error, Format, Options};

/// What lines are appended to.
pub(crate) trait Sink: fmt::Debug + Send {
    /// Appends whole lines. Returns how many bytes the sink took.
    ///
    /// While the sink has no room, waits and asks `give_up` every few milliseconds; the error is then [`Error::Stalled`].
    fn append(
        &mut self,
        now: Timestamp,
        lines: &[u8],
        give_up: &dyn Fn() -> bool,
    ) -> (usize, Result<(), Error>);

    /// Ends when what was written is as safe as the sink can make it: on the disk, if there is one.
    fn finish(&mut self) -> Result<(), Error>;

    /// Whether a write costs more than the lines in it, so that small batches are worth collecting.
    fn is_file(&self) -> bool;

    /// The same sink for the pipeline's thread, if it can write small batches without waiting.
    fn direct(&self) -> Option<Stdout> {
        None
    }
}

/// Opens the sink that the options ask for.
pub(crate) fn open(options: &Options) -> Result<Box<dyn Sink>, Error> {
    Ok(match &options.log_path {
        Some(directory) if options.format != Format::Table => Box::new(Files::open(
            directory,
            options.zone.clone(),
            (options.clock)(),
        )?),
        _ => Box::new(Stdout::open()?),
    })
}
