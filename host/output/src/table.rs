//! Events as a table that streams: the header at once, each row as its event happens.
//! Is for people: a program reads `json`, where nothing is shortened and nothing is shown in another's place.
//!
//! On a terminal of 120 columns (no more than its width, cells that are too long have `…`, failures are red):
//! ```text
//! TIME     USER       PID AF   SOURCE          DESTINATION             CONTAINER    PROCESS          OUTCOME
//! 23:04:05 root      1234 ipv4 192.168.…:34567 93.184.215.14:443       web-server   /usr/bin/curl    established 1.2ms
//! ```
//! TAGS is there when plugins are loaded, from 91 columns on; the others always.
//!
//! Into a pipe or a file (nothing is shortened, a `|` in a cell is `\x7c`, and the whole is Markdown):
//! ```text
//! | TIME     | USER     |     PID | AF   | SOURCE                | DESTINATION           | CONTAINER        | PROCESS …
//! |----------|----------|---------|------|-----------------------|-----------------------|------------------|-------- …
//! | 23:04:05 | root     |    1234 | ipv4 | 192.168.1.100:34567   | 93.184.215.14:443     | web-server       | /usr/bin…
//! ```
//!
//! A line that begins with `--` is no row but a notice: `-- 23:04:05 lost 12 connections: the kernel's buffer was full`.
//!
//! `-` is what is not known or not there. A container without a name is shown by the beginning of its id, a process
//! without a path by its name, a user without a name by its number. With `-k8s` a container in a pod is namespace/pod/container. OUTCOME names the protocol when it isn't TCP.

mod cell;
mod layout;

use jiff::tz::TimeZone;

use self::layout::Layout;
use super::Terminal;
use lightmon_event::{Event, Notice, Outcome, escape};

/// The table, as far as it has been written.
#[derive(Debug)]
pub(super) struct Table {
    zone: TimeZone,
    terminal: Terminal,
    /// Whether there is a column for tags.
    tags: bool,
    /// Whether a container in a pod is shown as namespace/pod/container.
    pods: bool,
    layout: Layout,
    /// Whether the layout's header is still to be written.
    header: bool,
}

impl Table {
    pub(super) fn new(zone: TimeZone, terminal: Terminal, tags: bool) -> Self {
        let layout = Layout::new((terminal.width)(), tags);
        Self {
            zone,
            terminal,
            tags,
            pods: false,
            layout,
            header: true,
        }
    }

    pub(super) fn show_pods(&mut self, pods: bool) {
        self.pods = pods;
    }

    /// Appends the header where one is due: at the beginning, and when the terminal's width has changed.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) {
        let width = (self.terminal.width)();
        if self.layout.width != width {
            self.layout = Layout::new(width, self.tags);
            self.header = true;
        }
        if self.header {
            for line in self.layout.header() {
                self.put(&line, BOLD, out);
            }
            self.header = false;
        }
    }

    /// Appends a row.
    pub(super) fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let row = self.layout.row(event, &self.zone, self.pods);
        let style = if event.outcome.is_success() || event.outcome == Outcome::Pending {
            PLAIN
        } else {
            RED
        };
        self.put(&row, style, out);
    }

    /// Appends a line that a plugin has written in the row's place.
    pub(super) fn line(&self, line: &str, out: &mut Vec<u8>) {
        self.put(&escape::Text(line).to_string(), PLAIN, out);
    }

    /// Appends a notice, which no reader takes for a row.
    pub(super) fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        let time = cell::time(notice.time(), &self.zone);
        let text = notice.to_string().replace('|', "\\x7c");
        self.put(&format!("-- {time} {}", escape::Text(&text)), PLAIN, out);
    }

    fn put(&self, line: &str, style: &str, out: &mut Vec<u8>) {
        let line = line.trim_end();
        let (style, reset) = if self.terminal.color && !style.is_empty() {
            (style, RESET)
        } else {
            ("", "")
        };
        for part in [style, line, reset, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

const PLAIN: &str = "";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use lightmon_event::arbitrary;

    const SHOWN: Terminal = Terminal {
        width: || Some(120),
        color: true,
    };

    fn table(terminal: Terminal, event: &Event) -> String {
        let mut table = Table::new(TimeZone::UTC, terminal, true);
        let mut out = Vec::new();
        table.begin(&mut out);
        table.event(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_header_comes_again_when_the_terminal_has_changed() {
        use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
        static WIDTH: AtomicU16 = AtomicU16::new(80);
        let terminal = Terminal {
            width: || Some(WIDTH.load(Relaxed)),
            color: false,
        };
        let mut table = Table::new(TimeZone::UTC, terminal, false);
        let headers = |table: &mut Table| {
            let mut out = Vec::new();
            table.begin(&mut out);
            table.begin(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(headers(&mut table).lines().count(), 1);
        assert_eq!(headers(&mut table), "");
        WIDTH.store(120, Relaxed);
        let header = headers(&mut table);
        assert!(
            header.lines().count() == 1 && header.contains("OUTCOME"),
            "{header}"
        );
    }

    #[test]
    fn a_long_text_takes_no_long_time() {
        // comfy-table alone takes minutes for it.
        let comm: std::sync::Arc<str> = "e\u{301}\n".repeat(1 << 18).into();
        let event = Event {
            comm: comm.clone(),
            user: Some(comm.clone()),
            process: std::sync::Arc::new(lightmon_event::Process {
                comm,
                ..Default::default()
            }),
            ..Event::sample()
        };
        assert_eq!(table(SHOWN, &event).lines().count(), 2);
        assert!(table(Terminal::NONE, &event).lines().count() == 3);
    }

    proptest! {
        #[test]
        fn a_row_is_one_line_and_no_wider_than_the_terminal(event in arbitrary::event()) {
            let table = table(SHOWN, &event);
            prop_assert_eq!(table.matches('\n').count(), 2);
            let row = table.lines().nth(1).unwrap();
            let row = row.strip_prefix("\x1b[31m").and_then(|row| row.strip_suffix("\x1b[0m")).unwrap_or(row);
            prop_assert!(!row.chars().any(escape::is_unsafe), "{}", row);
            prop_assert!(width(row) <= 120, "{} {}", width(row), row);
        }

        #[test]
        fn a_row_in_a_pipe_has_its_columns_and_no_more(event in arbitrary::event()) {
            let table = table(Terminal::NONE, &event);
            prop_assert_eq!(table.matches('\n').count(), 3);
            prop_assert!(!table.chars().any(|c| escape::is_unsafe(c) && c != '\n'), "{}", table);
            for line in table.lines() {
                prop_assert_eq!(line.matches('|').count(), 11, "{}", line);
            }
        }
    }

    #[test]
    fn a_notice_is_a_line_of_its_own() {
        for terminal in [Terminal::NONE, SHOWN] {
            let mut out = Vec::new();
            let time = "2026-11-23T15:04:05Z".parse().unwrap();
            let notice = Notice::Blind {
                time,
                reason: "a|b\x1b".into(),
            };
            Table::new(TimeZone::UTC, terminal, true).notice(&notice, &mut out);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                "-- 15:04:05 blind: a\\x7cb\\x1b\n"
            );
        }
    }

    /// What comfy-table takes a text's width to be.
    fn width(text: &str) -> u16 {
        let mut table = comfy_table::Table::new();
        table.add_row([text]);
        table.column_max_content_widths()[0]
    }
}
