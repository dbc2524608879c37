//! The `json` format: complete, and read back by a replay. What a line looks like is in [`lightmon_event::json`].

use lightmon_event::{
    Event, Notice,
    json::{self, Lines},
};

use super::{Formatting, Settings};

pub(super) fn new(settings: &Settings) -> Box<dyn Formatting> {
    Box::new(Lines::new(settings.zone.clone()))
}

impl Formatting for Lines {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.event(event, out);
    }

    fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        json::notice::write(notice, self.zone(), out);
    }
}
