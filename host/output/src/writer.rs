//! The writer's thread: takes what the queue holds and writes it, waiting as long as it takes, but for the deadline.
//! Decides nothing about what is lost; that is the queue's.

use jiff::Timestamp;

use super::{
    Error, Formatter,
    notices::say,
    queue::{Queue, Work},
    sink::Sink,
};

/// What it needs.
pub(super) struct Writer {
    pub(super) sink: Sink,
    /// For notices.
    pub(super) formatter: Formatter,
    pub(super) clock: fn() -> Timestamp,
}

impl Writer {
    /// Writes until the queue ends, or the reader has gone.
    pub(super) fn run(mut self, queue: &Queue) {
        let end = End(queue);
        let mut line = Vec::new();
        while let Some(work) = queue.next() {
            match work {
                Work::Chunk(chunk) => {
                    let (written, result) = self.write(&chunk.bytes, queue);
                    queue.settle(chunk, written, result);
                }
                Work::Notice(notice) => {
                    line.clear();
                    self.formatter.notice(&notice, &mut line);
                    let (_, result) = self.write(&line, queue);
                    queue.noticed(notice, result);
                }
                Work::Message(notice) => say(&notice),
            }
        }
        if let Err(error) = self.sink.finish() {
            queue.fail(error);
        }
        drop(end);
    }

    fn write(&mut self, bytes: &[u8], queue: &Queue) -> (usize, Result<(), Error>) {
        self.sink
            .append((self.clock)(), bytes, &|| queue.is_hopeless())
    }
}

/// Also when the writer panics nobody waits for it for ever.
struct End<'a>(&'a Queue);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}
