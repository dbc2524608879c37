//! Draws the results as a bar chart in SVG, readable on light and dark pages.

use std::fmt::Write as _;

use super::{
    loads::LOADS,
    results::Results,
    tools::{BPFTRACE, LIGHTMON, ORIGINAL, TCPLIFE},
};
use crate::kind::Kind;

/// The tools in the chart. Most people can tell these colours apart, on any background.
const BARS: [(&str, &str); 4] = [
    (LIGHTMON, "#2da44e"),
    (BPFTRACE, "#bf8700"),
    (TCPLIFE, "#218bff"),
    (ORIGINAL, "#a475f9"),
];

const WIDTH: f64 = 900.0;
/// Sizes of one panel: its title above, its labels below.
const HEIGHT: f64 = 190.0;
const TITLE: f64 = 34.0;
const LABELS: f64 = 40.0;
/// The space between groups, and the width of a bar.
const GAP: f64 = 14.0;
const LARGEST_BAR: f64 = 44.0;

const HEAD: &str = r#"<style>
text { font: 12px sans-serif; fill: #57606a }
.title { font-weight: bold }
.value { font-size: 10px; text-anchor: middle }
.label { text-anchor: middle }
line { stroke: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } }
</style>
"#;

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    /// Logarithmic: each step is ten times as much.
    Logarithmic,
}

/// Bars in groups: a label, and one value for each of [`BARS`].
struct Picture {
    title: &'static str,
    scale: Scale,
    groups: Vec<(&'static str, [Option<f64>; BARS.len()])>,
}

/// All of it.
pub(super) fn of(results: &Results) -> String {
    let each = |of: &dyn Fn(&str) -> Option<f64>| BARS.map(|(tool, _)| of(tool));
    let loads = || LOADS.iter();
    let pictures = [
        Picture {
            title: "CPU seconds per million connections (each line is ten times the one below)",
            scale: Scale::Logarithmic,
            groups: loads()
                .map(|load| {
                    let cpu = |tool: &str| Some(results.cpu(load.name, tool)?.median);
                    (load.title, each(&cpu))
                })
                .collect(),
        },
        Picture {
            title: "microseconds added to connect(), median",
            scale: Scale::Linear,
            // With `exec`, the measured time is the lifetime of a process.
            groups: loads()
                .filter(|load| !matches!(load.kind, Kind::Exec))
                .map(|load| {
                    let p50 = |tool: &str| results.added(load.name, tool, |times| times.p50);
                    (load.title, each(&|tool| Some(p50(tool)?.median)))
                })
                .collect(),
        },
        Picture {
            title: "start and memory",
            scale: Scale::Logarithmic,
            groups: vec![
                (
                    "first event, ms",
                    each(&|tool| Some(results.first_event(tool)?.median)),
                ),
                (
                    "peak MiB at TCP 5,000/s",
                    each(&|tool| Some(results.memory("tcp-5000", tool)?.median)),
                ),
            ],
        },
    ];
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\">\n\
         <title>What lightmon and other tools cost</title>\n{HEAD}",
        30.0 + HEIGHT * pictures.len() as f64
    );
    legend(&mut svg, &pictures);
    for (i, picture) in pictures.iter().enumerate() {
        picture.draw(&mut svg, 30.0 + HEIGHT * i as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

/// The legend: the tools that have at least one bar.
fn legend(svg: &mut String, pictures: &[Picture]) {
    let mut x = 10.0;
    for (bar, (tool, colour)) in BARS.iter().enumerate() {
        let mut groups = pictures.iter().flat_map(|picture| &picture.groups);
        if groups.any(|(_, values)| values[bar].is_some()) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"8\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"19\">{tool}</text>",
                x + 17.0
            );
            x += 110.0;
        }
    }
}

impl Picture {
    fn draw(&self, svg: &mut String, top: f64) {
        let (floor, room) = (top + HEIGHT - LABELS, HEIGHT - TITLE - LABELS - 12.0);
        let values = || self.groups.iter().flat_map(|(_, values)| values).flatten();
        let most = values().copied().fold(f64::MIN_POSITIVE, f64::max);
        let height = |value: f64| match self.scale {
            Scale::Linear => (value / most).max(0.0) * room,
            Scale::Logarithmic => {
                let (least, most) = decades(values().copied());
                ((value.max(least).log10() - least.log10()) / (most / least).log10()) * room
            }
        };
        let _ = writeln!(
            svg,
            "<text class=\"title\" x=\"10\" y=\"{:.1}\">{}</text>\n\
             <line x1=\"10\" x2=\"{:.1}\" y1=\"{floor:.1}\" y2=\"{floor:.1}\"/>",
            top + 20.0,
            self.title,
            WIDTH - 10.0
        );
        if let Scale::Logarithmic = self.scale {
            let (least, most) = decades(values().copied());
            let mut line = least * 10.0;
            while line < most * 1.01 {
                let y = floor - height(line);
                let _ = writeln!(
                    svg,
                    "<line x1=\"10\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" opacity=\"0.3\"/>",
                    WIDTH - 10.0
                );
                line *= 10.0;
            }
        }
        let group = (WIDTH - 20.0) / self.groups.len() as f64;
        let width = ((group - GAP) / BARS.len() as f64).min(LARGEST_BAR);
        for (i, (label, values)) in self.groups.iter().enumerate() {
            let middle = 10.0 + group * (i as f64 + 0.5);
            let _ = writeln!(
                svg,
                "<text class=\"label\" x=\"{middle:.1}\" y=\"{:.1}\">{label}</text>",
                floor + 18.0
            );
            let bars = || {
                values
                    .iter()
                    .zip(BARS)
                    .filter_map(|(value, (_, colour))| Some(((*value)?, colour)))
            };
            let mut x = middle - width * bars().count() as f64 / 2.0;
            for (value, colour) in bars() {
                let height = height(value);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\
                     <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    floor - height,
                    width - 2.0,
                    x + width / 2.0 - 1.0,
                    floor - height - 3.0,
                    short(value)
                );
                x += width;
            }
        }
    }
}

/// Returns the powers of ten below and above all values.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let logarithms = values.filter(|value| *value > 0.0).map(f64::log10);
    let (least, most) = logarithms.fold((f64::MAX, f64::MIN), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    match least <= most {
        true => (10_f64.powf(least.floor()), 10_f64.powf(most.floor() + 1.0)),
        false => (1.0, 10.0),
    }
}

/// Formats a number with two significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..0.995 => format!("{value:.2}"),
        0.995..9.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side_by_side::results::tests::sample;

    fn attributes(svg: &str, fill: &str, name: &str) -> Vec<f64> {
        let bars = svg.split("<rect").filter(|bar| bar.contains(fill)).skip(1); // the legend
        let number = |bar: &str| {
            let (_, rest) = bar.split_once(&format!(" {name}=\"")).unwrap();
            rest.split('"').next().unwrap().parse().unwrap()
        };
        bars.map(number).collect()
    }

    #[test]
    fn bars_of_the_sample() {
        let svg = of(&sample());
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        // tcplife and the original were not measured.
        assert!(!svg.contains(TCPLIFE) && !svg.contains(ORIGINAL), "{svg}");
        let [lightmon, bpftrace] =
            [BARS[0].1, BARS[1].1].map(|fill| attributes(&svg, fill, "height"));
        // CPU and added time under one load, and the first event. Nothing was measured at 5,000/s.
        let room = HEIGHT - TITLE - LABELS - 12.0;
        // From 1 to 100: 3 and 12.
        let near =
            |height: f64, expect: f64| assert!((height - expect).abs() < 0.06, "{height} {expect}");
        near(lightmon[0], 3_f64.log10() / 2.0 * room);
        near(bpftrace[0], 12_f64.log10() / 2.0 * room);
        // 2 of 18 us.
        near(lightmon[1], room / 9.0);
        near(bpftrace[1], room);
        // From 10 to 1000: 25 and 400.
        near(lightmon[2], 2.5_f64.log10() / 2.0 * room);
        near(bpftrace[2], 40_f64.log10() / 2.0 * room);
        assert_eq!((lightmon.len(), bpftrace.len()), (3, 3));
    }

    #[test]
    fn the_kept_picture_shows_the_kept_results() {
        let kept = include_str!("../../results/side-by-side.json");
        let svg = of(&serde_json::from_str(kept).unwrap());
        assert!(
            svg == include_str!("../../results/side-by-side.svg"),
            "draw it again"
        );
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        let svg = of(&Results::default());
        assert!(
            !svg.contains("<rect") && !svg.contains("NaN") && !svg.contains("inf"),
            "{svg}"
        );
    }

    #[test]
    fn between_powers_of_ten() {
        for (values, expect) in [
            (&[0.5, 37.0][..], (0.1, 100.0)),
            (&[1.0, 10.0], (1.0, 100.0)),
            (&[0.0, 4.0], (1.0, 10.0)),
            (&[], (1.0, 10.0)),
        ] {
            let (least, most) = decades(values.iter().copied());
            assert!((least / expect.0 - 1.0).abs() < 1e-9 && (most / expect.1 - 1.0).abs() < 1e-9);
        }
    }
}
