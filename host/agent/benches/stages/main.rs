//! Measures the cost per event of each stage of the pipeline, and of the whole pipeline. All use the same events.
//!
//! `make bench-stages` measures the time, with criterion. `make bench-check` counts instructions and allocations with callgrind,
//! and compares them with `baseline.json`. These counts do not depend on the load of the machine, and hardly on the machine.

mod baseline;
mod bench;
mod callgrind;
mod check;
mod decode;
mod enrich;
mod events;
mod exclude;
mod format;
mod pipeline;
mod plugin;
mod records;

use std::{fmt, path::Path, process::ExitCode, time::Duration};

use criterion::Criterion;

use self::bench::{Bench, Mode};

/// Registers all stages, in the order in which events pass through them.
fn stages(bench: &mut Bench<'_>) {
    decode::stages(bench);
    enrich::stages(bench);
    exclude::stages(bench);
    plugin::stages(bench);
    format::stages(bench);
    pipeline::stages(bench);
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--check", ref rest @ ..] => {
            let (record, rest) = match rest {
                ["--record", rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let mut list = Bench {
                cache: None,
                mode: Mode::List(Vec::new()),
            };
            stages(&mut list);
            let Mode::List(all) = list.mode else {
                unreachable!()
            };
            if let Err(error) =
                check::check(&all, rest.first().copied().unwrap_or_default(), record)
            {
                complain(&format_args!("{error:#}"));
                return ExitCode::FAILURE;
            }
        }
        // `--check` runs this under valgrind.
        ["--once", cache] => stages(&mut Bench {
            cache: Some(Path::new(cache)),
            mode: Mode::Once,
        }),
        ["--count", stage, times, most, cache] => {
            let number = |text: &str| text.parse().expect("a number");
            let mode = Mode::Count {
                stage,
                times: number(times),
                most: number(most),
            };
            stages(&mut Bench {
                cache: Some(Path::new(cache)),
                mode,
            });
        }
        _ => {
            let mut criterion = Criterion::default()
                .warm_up_time(Duration::from_secs(1))
                .measurement_time(Duration::from_secs(3))
                .sample_size(50)
                .configure_from_args();
            stages(&mut Bench {
                cache: None,
                mode: Mode::Time(&mut criterion),
            });
            criterion.final_summary();
        }
    }
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "a benchmark's output")]
fn say(text: &dyn fmt::Display) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a benchmark's output")]
fn complain(text: &dyn fmt::Display) {
    eprintln!("{text}");
}
