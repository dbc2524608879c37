//! The table's columns and their widths, for a terminal or for a pipe.
//! Does not look at the terminal; it is told the width.

use std::iter::repeat_n;

use comfy_table::{CellAlignment, ColumnConstraint, Row, Table, Width, presets};
use jiff::tz::TimeZone;
use lightmon_event::Event;

use super::cell::{container, endpoint, family, outcome, pid, pod, process, tags, time, user};

/// A column. If the terminal is wider or narrower than the sum of the base widths, the columns share the difference by weight.
struct Column {
    title: &'static str,
    base_width: u16,
    weight: u16,
    /// The least width in a pipe.
    piped_width: u16,
    /// The text for an event, for this width.
    cell: fn(&Event, &TimeZone, Option<u16>) -> String,
}

const fn column(
    title: &'static str,
    [base_width, weight, piped_width]: [u16; 3],
    cell: fn(&Event, &TimeZone, Option<u16>) -> String,
) -> Column {
    Column {
        title,
        base_width,
        weight,
        piped_width,
        cell,
    }
}

/// The base widths of the first nine columns, with the spaces between them, add up to 80: on every usual terminal, a failed
/// connection must look different from a good one.
const COLUMNS: [Column; 10] = [
    column("TIME", [8, 0, 8], |it, zone, _| time(it.time, zone)),
    column("USER", [4, 2, 8], |it, _, width| user(it, width)),
    column(PID, [7, 0, 7], |it, _, _| pid(it)),
    column("AF", [4, 0, 4], |it, _, _| family(it)),
    column("SOURCE", [7, 4, 21], |it, _, width| {
        endpoint(it.source, width)
    }),
    column("DESTINATION", [17, 4, 21], |it, _, width| {
        endpoint(it.destination, width)
    }),
    column(CONTAINER, [7, 3, 16], |it, _, width| container(it, width)),
    column("PROCESS", [9, 5, 20], |it, _, width| process(it, width)),
    column("OUTCOME", [9, 3, 17], |it, _, width| outcome(it, width)),
    column("TAGS", [10, 5, 4], |it, _, width| tags(it, width)),
];
const PID: &str = "PID";
const CONTAINER: &str = "CONTAINER";
/// This many columns are always there.
const FIXED_COLUMNS: usize = 9;
/// In a narrow terminal, columns shrink to this width and then wrap.
const MIN_COLUMN_WIDTH: u16 = 3;

/// What stays the same while the terminal keeps its width.
#[derive(Debug)]
pub(super) struct Layout {
    /// The terminal's width; `None` in a pipe.
    pub(super) width: Option<u16>,
    /// The columns' widths; `None` in a pipe.
    widths: Vec<Option<u16>>,
    /// A row whose cells are replaced for each event.
    row: Table,
}

impl Layout {
    pub(super) fn new(width: Option<u16>, tags: bool) -> Self {
        let max_columns = if tags {
            COLUMNS.len()
        } else {
            COLUMNS.len() - 1
        };
        let widths = match width {
            None => vec![None; max_columns],
            Some(width) => fit(width, max_columns).into_iter().map(Some).collect(),
        };
        let mut row = Table::new();
        row.add_row(vec![""; widths.len()]);
        set_columns(&mut row, &widths);
        Self { width, widths, row }
    }

    /// The lines of the header.
    pub(super) fn header(&self) -> Vec<String> {
        let titles = COLUMNS.iter().zip(&self.widths).map(|(it, _)| it.title);
        let mut header = Table::new();
        header.set_header(one_line(Row::from(titles.collect::<Vec<_>>())));
        set_columns(&mut header, &self.widths);
        header.lines().collect()
    }

    /// The line of an event, with its pod if `pods`.
    pub(super) fn row(&mut self, event: &Event, zone: &TimeZone, pods: bool) -> String {
        let columns = COLUMNS.iter().zip(&self.widths);
        let cells = columns.map(|(it, &width)| match it.title {
            CONTAINER if pods => pod(event, width),
            _ => (it.cell)(event, zone, width),
        });
        let cells: Vec<String> = cells.collect();
        match self.plain(&cells) {
            Some(line) => line,
            None => self.measured(cells),
        }
    }

    /// The line of cells that fit and are plain ASCII, as nearly all are. The same line as [`measured`](Self::measured) makes, but
    /// faster.
    fn plain(&self, cells: &[String]) -> Option<String> {
        let columns = || cells.iter().zip(&self.widths).zip(&COLUMNS);
        let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let fits = |text: &str, width: Option<u16>| width.is_none_or(|it| text.len() <= it.into());
        columns()
            .all(|((cell, width), _)| fits(cell, *width) && is_plain(cell))
            .then(|| {
                let mut line = String::new();
                for (i, ((cell, width), column)) in columns().enumerate() {
                    line.push_str(match width {
                        None => "| ",
                        Some(_) if i > 0 => " ",
                        Some(_) => "",
                    });
                    let width = usize::from(width.unwrap_or(column.piped_width));
                    let gap = width.saturating_sub(cell.len());
                    let (before, after) = if column.title == PID {
                        (gap, 0)
                    } else {
                        (0, gap)
                    };
                    line.extend(repeat_n(' ', before));
                    line.push_str(cell);
                    line.extend(repeat_n(' ', after));
                    if self.width.is_none() {
                        line.push(' ');
                    }
                }
                if self.width.is_none() {
                    line.push('|');
                }
                line
            })
    }

    fn measured(&mut self, cells: Vec<String>) -> String {
        if let Some(row) = self.row.row_mut(0) {
            *row = one_line(Row::from(cells));
        }
        self.row.lines().collect()
    }
}

/// Cuts cells that are too long, instead of wrapping them.
fn one_line(mut row: Row) -> Row {
    row.max_height(1);
    row
}

/// Sets the columns of a table with one row.
fn set_columns(table: &mut Table, widths: &[Option<u16>]) {
    // comfy-table must not ask the terminal itself.
    table.force_no_tty();
    // Cut text anywhere, and not only between words, so that it fills its cell.
    table.set_delimiter('\n');
    // A terminal has no room for lines between the columns.
    let is_piped = widths.iter().all(Option::is_none);
    table.load_style(if is_piped {
        presets::ASCII_MARKDOWN
    } else {
        presets::NOTHING
    });
    for (i, ((column, it), width)) in table
        .column_iter_mut()
        .zip(&COLUMNS)
        .zip(widths)
        .enumerate()
    {
        match width {
            Some(width) => {
                let gap = u16::from(i + 1 < widths.len());
                column.set_padding((0, gap));
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + gap)));
            }
            None => {
                let width = it.piped_width + column.padding_width();
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
            }
        }
        if it.title == PID {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The widths of those of the first `max_columns` columns that fit into a terminal.
fn fit(width: u16, max_columns: usize) -> Vec<u16> {
    let need = |count: usize| {
        COLUMNS[..count]
            .iter()
            .map(|it| it.base_width + 1)
            .sum::<u16>()
            - 1
    };
    let count = (FIXED_COLUMNS..=max_columns)
        .rev()
        .find(|&count| need(count) <= width)
        .unwrap_or(FIXED_COLUMNS);
    let columns = &COLUMNS[..count];
    let weights: i32 = columns.iter().map(|it| i32::from(it.weight)).sum();
    let room = i32::from(width) - i32::from(need(count));
    let share =
        |it: &Column| i32::from(it.base_width) + (room * i32::from(it.weight)).div_euclid(weights);
    columns
        .iter()
        .map(|it| u16::try_from(share(it)).unwrap_or(0).max(MIN_COLUMN_WIDTH))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_line_equals_the_measured_line(
            cells in prop::collection::vec("[ -~]{0,24}|[a-z]{0,4}", 10),
            width in prop::option::of(40_u16..300),
        ) {
            let mut layout = Layout::new(width, true);
            let cells = cells[..layout.widths.len()].to_vec();
            if let Some(line) = layout.plain(&cells) {
                let measured = layout.measured(cells);
                prop_assert_eq!(line.trim_end(), measured.trim_end());
            }
        }
    }

    #[test]
    fn columns_fill_the_terminal() {
        let total = |widths: &[u16]| widths.iter().sum::<u16>() + widths.len() as u16 - 1;
        for width in 1..=500 {
            for max_columns in [9, 10] {
                let widths = fit(width, max_columns);
                assert!(widths.iter().all(|&it| it >= MIN_COLUMN_WIDTH));
                if width >= 60 {
                    assert!(
                        (width - 9..=width).contains(&total(&widths)),
                        "{width}: {widths:?}"
                    );
                }
            }
        }
        assert_eq!(fit(80, 10), COLUMNS.map(|it| it.base_width)[..9]);
        assert_eq!([80, 90, 91].map(|width| fit(width, 10).len()), [9, 9, 10]);
        assert_eq!(fit(500, 9).len(), 9);
    }
}
