//! The arithmetic behind `make bench-check`.

#[path = "../benches/stages/baseline.rs"]
mod baseline;
#[path = "../benches/stages/callgrind.rs"]
mod callgrind;

use self::{
    baseline::{Baseline, Comparison, Cost, Costs},
    callgrind::Totals,
};

const fn cost(instructions: f64, allocations: f64) -> Cost {
    Cost {
        instructions,
        allocations,
    }
}

fn compare(recorded: &[(&str, Cost)], now: &[(&str, Cost)], all: &[&str]) -> Comparison {
    let costs = |all: &[(&str, Cost)]| {
        let named = all.iter().map(|(name, cost)| ((*name).to_owned(), *cost));
        named.collect::<Costs>()
    };
    let baseline = Baseline {
        rustc: "1".to_owned(),
        host: "here".to_owned(),
        stages: costs(recorded),
    };
    baseline.compare(&costs(now), all)
}

#[test]
fn a_slower_stage_is_named() {
    let faults = |now: Cost| {
        compare(
            &[("decode", cost(1000.0, 2.0))],
            &[("decode", now)],
            &["decode"],
        )
        .faults()
    };
    for fine in [cost(1000.0, 2.0), cost(1100.0, 2.2), cost(10.0, 0.0)] {
        assert!(faults(fine).is_empty(), "{fine:?}");
    }
    assert_eq!(
        faults(cost(1101.0, 2.0)),
        ["decode: 10 % more instructions an event, 1101 and not 1000"]
    );
    assert_eq!(
        faults(cost(1500.0, 3.0)),
        [
            "decode: 50 % more instructions an event, 1500 and not 1000",
            "decode: more allocations an event, 3 and not 2"
        ]
    );
}

#[test]
fn shared_allocations_of_a_batch_are_not_counted_for_events() {
    let faults = |now| {
        compare(
            &[("exclude", cost(9.0, 0.0))],
            &[("exclude", cost(9.0, now))],
            &["exclude"],
        )
        .faults()
    };
    assert!(faults(0.03).is_empty());
    assert_eq!(
        faults(1.0),
        ["exclude: more allocations an event, 1 and not 0"]
    );
}

#[test]
fn new_and_gone_stages_are_named() {
    let comparison = compare(
        &[
            ("old", cost(1.0, 0.0)),
            ("same", cost(1.0, 0.0)),
            ("not-measured", cost(1.0, 0.0)),
        ],
        &[("new", cost(1.0, 0.0)), ("same", cost(1.0, 0.0))],
        &["new", "same", "not-measured"],
    );
    assert_eq!(
        comparison.faults(),
        [
            "new: not in the baseline; record it with `make bench-check RECORD=1`",
            "old: there is no such stage any more; take it out of the baseline with `make bench-check RECORD=1`",
        ]
    );
}

#[test]
fn the_table_has_a_line_a_stage() {
    let comparison = compare(
        &[("decode", cost(1000.0, 2.0))],
        &[("decode", cost(1250.0, 2.5)), ("new", cost(7.0, 0.0))],
        &["decode", "new"],
    );
    insta::assert_snapshot!(comparison, @r"
    an event                     instructions  recorded   ratio  allocations  recorded
    decode                               1250      1000   1.250          2.5         2
    new                                     7         -       -            0         -
    ");
}

#[test]
fn the_cost_of_a_batch_is_divided_by_its_events() {
    assert_eq!(Cost::per_event(6450, 65, 64), cost(101.0, 1.02));
}

/// The file in the repository is one.
#[test]
fn the_baseline_is_read() {
    let baseline: Baseline =
        serde_json::from_str(include_str!("../benches/stages/baseline.json")).unwrap();
    assert!(baseline.stages.contains_key("decode"));
}

const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
positions: line
events: Ir
summary: 1207

ob=/bin/stages
fl=???
fn=decode
0 900
cob=/lib/libc.so.6
cfi=./malloc/malloc.c
cfn=malloc
calls=3 3294
0 150
cfn=free
calls=2 3353
0 57
cfn=realloc
calls=1 3401
0 100

totals: 1207
";

#[test]
fn allocations_are_counted_by_their_calls() {
    let totals = Totals {
        instructions: 1207,
        allocations: 4,
    };
    assert_eq!(Totals::of(PROFILE), Some(totals));
}

#[test]
fn a_truncated_profile_is_rejected() {
    let cut = PROFILE.split("totals").next().unwrap();
    assert_eq!(Totals::of(cut), None);
}
