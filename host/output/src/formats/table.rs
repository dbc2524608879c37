//! The `table` format: the header at once, then a row for each event as it happens.
//! Is made for people. Programs read `json`, which shortens nothing and shows nothing in another's place.
//!
//! On a terminal of 120 columns. Rows are as wide as the terminal, cells that are too long have `…`, failures are red:
//! ```text
//! TIME     USER       PID AF   SOURCE          DESTINATION             CONTAINER    PROCESS          OUTCOME
//! 23:04:05 root      1234 ipv4 192.168.…:34567 93.184.215.14:443       web-server   /usr/bin/curl    established 1.2ms
//! ```
//! The column TAGS is there if plugins are loaded and the terminal has at least 91 columns. The other columns are always there.
//!
//! Into a pipe or a file, as Markdown. Nothing is shortened, and a `|` in a cell is `\x7c`:
//! ```text
//! | TIME     | USER     |     PID | AF   | SOURCE                | DESTINATION           | CONTAINER        | PROCESS …
//! |----------|----------|---------|------|-----------------------|-----------------------|------------------|-------- …
//! | 23:04:05 | root     |    1234 | ipv4 | 192.168.1.100:34567   | 93.184.215.14:443     | web-server       | /usr/bin…
//! ```
//!
//! A line that begins with `--` is a notice: `-- 23:04:05 lost 12 connections: the kernel's buffer was full`.
//!
//! `-` stands for what is not known or does not exist. A container without a name is shown by the beginning of its id, a
//! process without a path by its name, a user without a name by its number. With `--k8s` a container in a pod is shown as
//! namespace/pod/container. OUTCOME names the protocol if it is not TCP.

mod cell;
mod layout;

use jiff::tz::TimeZone;
use lightmon_event::{Event, Notice, Outcome, escape};

use self::layout::Layout;
use super::{Formatting, Settings};
use crate::Terminal;

pub(super) fn new(settings: &Settings) -> Box<dyn Formatting> {
    let Settings {
        zone,
        terminal,
        tags,
        pods,
        labels: _,
    } = settings;
    let mut table = Table::new(zone.clone(), *terminal, *tags);
    table.pods = *pods;
    Box::new(table)
}

/// The table, as far as it is written.
#[derive(Debug)]
struct Table {
    zone: TimeZone,
    terminal: Terminal,
    /// Whether there is a column for tags.
    tags: bool,
    /// Whether a container in a pod is shown as namespace/pod/container.
    pods: bool,
    layout: Layout,
    /// Whether the header must be written before the next row.
    is_header_due: bool,
}

impl Table {
    fn new(zone: TimeZone, terminal: Terminal, tags: bool) -> Self {
        let layout = Layout::new((terminal.width)(), tags);
        Self {
            zone,
            terminal,
            tags,
            pods: false,
            layout,
            is_header_due: true,
        }
    }

    fn put_line(&self, line: &str, style: &str, out: &mut Vec<u8>) {
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

impl Formatting for Table {
    /// Appends the header at the beginning, and when the terminal's width has changed.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let width = (self.terminal.width)();
        if self.layout.width != width {
            self.layout = Layout::new(width, self.tags);
            self.is_header_due = true;
        }
        if self.is_header_due {
            for line in self.layout.header() {
                self.put_line(&line, BOLD, out);
            }
            self.is_header_due = false;
        }
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let row = self.layout.row(event, &self.zone, self.pods);
        let style = if event.outcome.is_success() || event.outcome == Outcome::Pending {
            PLAIN
        } else {
            RED
        };
        self.put_line(&row, style, out);
    }

    fn plugin_line(&mut self, line: &str, out: &mut Vec<u8>) {
        self.put_line(&escape::Text(line).to_string(), PLAIN, out);
    }

    fn notice(&self, notice: &Notice, out: &mut Vec<u8>) {
        let time = cell::time(notice.time(), &self.zone);
        let text = notice.to_string().replace('|', "\\x7c");
        self.put_line(&format!("-- {time} {}", escape::Text(&text)), PLAIN, out);
    }
}

const PLAIN: &str = "";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

#[cfg(test)]
mod tests {
    use lightmon_event::arbitrary;
    use proptest::prelude::*;

    use super::*;

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
    fn a_resized_terminal_gets_a_new_header() {
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
    fn long_text_is_formatted_quickly() {
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
        fn a_row_in_a_pipe_has_exactly_its_columns(event in arbitrary::event()) {
            let table = table(Terminal::NONE, &event);
            prop_assert_eq!(table.matches('\n').count(), 3);
            prop_assert!(!table.chars().any(|c| escape::is_unsafe(c) && c != '\n'), "{}", table);
            for line in table.lines() {
                prop_assert_eq!(line.matches('|').count(), 11, "{}", line);
            }
        }
    }

    #[test]
    fn a_notice_is_a_separate_line() {
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
                "-- 15:04:05 self-test failed: a\\x7cb\\x1b\n"
            );
        }
    }

    /// The width of a text as comfy-table measures it.
    fn width(text: &str) -> u16 {
        let mut table = comfy_table::Table::new();
        table.add_row([text]);
        table.column_max_content_widths()[0]
    }
}
