//! Prints the results as Markdown tables.

use std::fmt::Write as _;

use super::{
    loads::{LOADS, Load},
    results::{Cost, Rest, Results, Run, Spread, mib},
    tools::{BPFTRACE, LIGHTMON, NOTHING, ORIGINAL, TCPLIFE, TOOLS},
};

/// The tools of the first table. The second table has other ways to run lightmon.
const PEERS: [&str; 5] = [NOTHING, LIGHTMON, BPFTRACE, TCPLIFE, ORIGINAL];
/// An empty cell.
const NONE: &str = "-";

/// Prints all results.
pub(super) fn of(results: &Results) -> String {
    tables(results).join("\n")
}

fn tables(results: &Results) -> [String; 3] {
    let is_peer = |tool: &str| PEERS.contains(&tool);
    let is_way = |tool: &str| tool == LIGHTMON || !PEERS.contains(&tool);
    let tables = [
        under_load(results, is_peer),
        under_load(results, is_way),
        at_rest(results),
    ];
    tables.map(|rows| markdown(&rows))
}

fn under_load(results: &Results, is_in: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "load",
        "tool",
        "reported",
        "CPU s per million",
        "of bpftrace's",
        "of the original's",
        "p50 us",
        "added p50 us",
        "added p99 us",
        "peak MiB",
        "made/s",
    ])];
    for Load { name, title, .. } in &LOADS {
        for tool in TOOLS
            .iter()
            .map(|tool| tool.name)
            .filter(|tool| is_in(tool))
        {
            let runs: Vec<&Run> = results.runs(name, tool).collect();
            let median = |of: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| of(run)));
            let Some(p50) = median(|run| run.times.p50 as f64 / 1000.0) else {
                continue;
            };
            let added = |added: Option<Spread>| match tool {
                NOTHING => NONE.to_owned(),
                _ => spread(added),
            };
            rows.push(vec![
                (*title).to_owned(),
                tool.to_owned(),
                reported(&runs),
                spread(results.cpu(name, tool)),
                spread(results.cpu_ratio(name, tool, BPFTRACE)),
                spread(results.cpu_ratio(name, tool, ORIGINAL)),
                number(p50.median),
                added(results.added(name, tool, |times| times.p50)),
                added(results.added(name, tool, |times| times.p99)),
                results
                    .memory(name, tool)
                    .map_or_else(|| NONE.to_owned(), |mib| number(mib.median)),
                median(|run| f64::from(run.made) / run.seconds)
                    .map_or_else(|| NONE.to_owned(), |rate| format!("{:.0}", rate.median)),
            ]);
        }
    }
    rows
}

fn at_rest(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "tool",
        "first event ms",
        "idle CPU %",
        "wake-ups/s",
        "peak MiB",
        "ring buffer MiB",
        "others' forks/s",
    ])];
    for tool in TOOLS.iter().map(|tool| tool.name) {
        let Some(first_event) = results.first_event(tool) else {
            continue;
        };
        let all = |of: fn(&Rest) -> f64| spread(Spread::of(results.rests(tool).map(of)));
        rows.push(vec![
            tool.to_owned(),
            spread(Some(first_event)),
            all(|rest| 100.0 * rest.cpu_seconds / rest.seconds),
            all(|rest| rest.sleeps as f64 / rest.seconds),
            all(|rest| mib(rest.peak.saturating_sub(rest.ring))),
            all(|rest| mib(rest.ring)),
            all(|rest| rest.forks_of_others as f64 / rest.seconds),
        ]);
    }
    rows
}

/// The share of reported connections over all rounds. Rounding never hides a missing connection.
fn reported(runs: &[&Run]) -> String {
    let costs = || runs.iter().filter_map(|run| Some((run.made, run.cost?)));
    if costs().next().is_none() {
        return NONE.to_owned();
    }
    if costs().all(|(made, cost)| cost.reported == 0 && cost.excluded >= u64::from(made)) {
        return "excluded".to_owned();
    }
    let made: u64 = costs().map(|(made, _)| u64::from(made)).sum();
    let reported: u64 = costs().map(|(_, cost)| u64::from(cost.reported)).sum();
    if reported == made {
        return "100 %".to_owned();
    }
    let percent = (reported as f64 / made as f64 * 10_000.0).floor() / 100.0;
    let mut text = format!("{percent:.2} %");
    let said: u64 = costs().map(|(_, Cost { lost, .. })| lost).sum();
    if said > 0 {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            ", says it lost {:.2} %",
            said as f64 / made as f64 * 100.0
        );
    }
    text
}

/// Formats `2.0 (1.5-2.5)`, or only the median if smallest and largest value look the same.
fn spread(spread: Option<Spread>) -> String {
    let Some(Spread {
        least,
        median,
        most,
    }) = spread
    else {
        return NONE.to_owned();
    };
    let [least, median, most] = [least, median, most].map(number);
    match least == median && most == median {
        true => median,
        false => format!("{median} ({least} to {most})"),
    }
}

/// Formats a number with three significant digits, but at most two decimals.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    // Never `-0.00`.
    let text = format!("{value:.digits$}");
    match text.trim_start_matches('-').trim_matches(['0', '.']) {
        "" => text.trim_start_matches('-').to_owned(),
        _ => text,
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Prints a table without its empty columns.
fn markdown(rows: &[Vec<String>]) -> String {
    let Some((head, body)) = rows.split_first().filter(|(_, body)| !body.is_empty()) else {
        return String::new();
    };
    let columns: Vec<(usize, usize)> = (0..head.len())
        .filter(|&column| body.iter().any(|row| row[column] != NONE))
        .map(|column| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            (column, widths.max().unwrap_or(0))
        })
        .collect();
    let mut text = String::new();
    let mut line = |cell: &dyn Fn(usize, usize) -> String| {
        let cells = columns.iter().map(|&(column, width)| cell(column, width));
        let cells: Vec<String> = cells.collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(&|column, width| format!("{:<width$}", head[column]));
    line(&|_, width| "-".repeat(width));
    for row in body {
        line(&|column, width| format!("{:<width$}", row[column]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side_by_side::results::tests::sample;

    #[test]
    fn sample_as_tables() {
        insta::assert_snapshot!(of(&sample()), @"
        | load        | tool             | reported                     | CPU s per million   | of bpftrace's       | p50 us | added p50 us        | added p99 us        | peak MiB | made/s |
        | ----------- | ---------------- | ---------------------------- | ------------------- | ------------------- | ------ | ------------------- | ------------------- | -------- | ------ |
        | TCP 1,000/s | nothing attached | -                            | -                   | -                   | 12.0   | -                   | -                   | -        | 100000 |
        | TCP 1,000/s | lightmon         | 100 %                        | 3.00 (2.00 to 4.00) | 0.25 (0.10 to 0.25) | 15.0   | 2.00 (1.00 to 3.00) | 6.00 (3.00 to 9.00) | 11.0     | 100000 |
        | TCP 1,000/s | bpftrace         | 99.90 %, says it lost 0.10 % | 12.0 (8.00 to 40.0) | 1.00                | 30.0   | 18.0 (10.0 to 20.0) | 54.0 (30.0 to 60.0) | 100      | 100000 |

        | load        | tool               | reported | CPU s per million   | of bpftrace's       | p50 us | added p50 us        | added p99 us        | peak MiB | made/s |
        | ----------- | ------------------ | -------- | ------------------- | ------------------- | ------ | ------------------- | ------------------- | -------- | ------ |
        | TCP 1,000/s | lightmon           | 100 %    | 3.00 (2.00 to 4.00) | 0.25 (0.10 to 0.25) | 15.0   | 2.00 (1.00 to 3.00) | 6.00 (3.00 to 9.00) | 11.0     | 100000 |
        | TCP 1,000/s | lightmon, excluded | excluded | 0.00                | 0.00                | 12.5   | 0.50                | 1.50                | 10.0     | 100000 |

        | tool     | first event ms | idle CPU % | wake-ups/s | peak MiB | ring buffer MiB | others' forks/s |
        | -------- | -------------- | ---------- | ---------- | -------- | --------------- | --------------- |
        | lightmon | 25.0           | 0.00       | 2.00       | 4.00     | 16.0            | 0.67            |
        | bpftrace | 400            | 1.00       | 10.0       | 100      | 0.00            | 0.00            |
        ");
    }

    /// `make bench BENCH=host/load/results/side-by-side` prints the current tables.
    #[test]
    fn the_manual_has_the_kept_results() {
        let kept = include_str!("../../results/side-by-side.json");
        let manual = include_str!("../../../docs/performance.md");
        let [peers, _ways, rest] = tables(&serde_json::from_str(kept).unwrap());
        for table in [peers, rest] {
            assert!(
                manual.contains(&table),
                "performance.md has another table than\n{table}"
            );
        }
    }

    #[test]
    fn numbers() {
        for (value, expect) in [
            (0.0, "0.00"),
            (-0.001, "0.00"),
            (-0.5, "-0.50"),
            (9.994, "9.99"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(number(value), expect);
        }
    }

    #[test]
    fn one_missing_is_not_all() {
        let mut results = sample();
        for run in &mut results.runs {
            if let Some(cost) = run.cost.as_mut().filter(|_| run.tool == LIGHTMON) {
                cost.reported -= 1;
            }
        }
        let runs: Vec<&Run> = results.runs("tcp-1000", LIGHTMON).collect();
        assert_eq!(reported(&runs), "99.99 %");
    }
}
