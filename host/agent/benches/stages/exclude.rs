//! Filters: exclude expressions.

use lightmon_event::Stats;
use lightmon_filter::Exclude;

use crate::{
    bench::{BATCH, Bench},
    events::event,
};

/// Each key once. The first expression matches every sixteenth event, the others match none.
const EXPRESSIONS: &str =
    "dport=53; dip=192.0.2.0/24 && dport=9100; keyword=node_exporter; container=prometheus";

pub(crate) fn stages(bench: &mut Bench<'_>) {
    bench.stage("exclude", BATCH, || {
        let events: Vec<_> = (0..BATCH).map(event).collect();
        let (exclude, stats) = (
            Exclude::parse([EXPRESSIONS]).expect("expressions"),
            Stats::default(),
        );
        let run = move |mut batch| {
            exclude.retain(&mut batch, &stats);
            assert_eq!(batch.len(), BATCH - BATCH / 16);
            batch
        };
        (move || events.clone(), run)
    });
}
