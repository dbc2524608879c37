//! The output's thread: takes what is queued and writes it. Waits for a slow reader until the queue says otherwise.
//! Decides nothing about what is lost; that is the queue's.

use jiff::Timestamp;

use crate::{
    Error, Formatter, notices,
    queue::{Queue, Work},
    sinks::Sink,
};

/// What the thread owns.
pub(crate) struct Writer {
    pub(crate) sink: Box<dyn Sink>,
    /// For notices; events come formatted.
    pub(crate) formatter: Formatter,
    pub(crate) clock: fn() -> Timestamp,
}

impl Writer {
    /// Writes until the queue ends or the reader has closed the sink.
    pub(crate) fn run(mut self, queue: &Queue) {
        let end = EndOnDrop(queue);
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
                    queue.settle_notice(notice, result);
                }
                Work::Log(notice) => notices::log(&notice),
            }
        }
        if let Err(error) = self.sink.finish() {
            queue.fail(error);
        }
        drop(end);
    }

    fn write(&mut self, bytes: &[u8], queue: &Queue) -> (usize, Result<(), Error>) {
        self.sink
            .append((self.clock)(), bytes, &|| queue.should_give_up())
    }
}

/// Tells the queue that the thread has ended, even by a panic, so that nothing waits for the thread forever.
struct EndOnDrop<'a>(&'a Queue);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
