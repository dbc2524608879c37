//! The `log` format: the original lightmon's log. What a line looks like is in [`lightmon_event::json::log`].

use lightmon_event::{
    Event, Notice,
    json::log::{self, Lines},
};

use super::{Formatting, Settings};

pub(super) fn new(settings: &Settings) -> Box<dyn Formatting> {
    let mut lines = Lines::new(settings.zone.clone());
    lines.labels.clone_from(&settings.labels);
    Box::new(lines)
}

impl Formatting for Lines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.event(event, out);
    }

    fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        log::notice(notice, self.zone(), out);
    }
}
