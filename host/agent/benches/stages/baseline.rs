//! Compares the cost per event of each stage with a recorded baseline. Measures nothing.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A larger increase than this share is reported.
const MARGIN: f64 = 1.10;

/// A smaller change of allocations is ignored: some are shared by a whole batch.
const SHARED: f64 = 0.05;

/// The command that records a new baseline.
const RECORD: &str = "`make bench-check RECORD=1`";

/// The cost of an event in a stage.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Instructions in user space.
    pub(crate) instructions: f64,
    /// Calls of malloc(3) and similar functions.
    pub(crate) allocations: f64,
}

impl Cost {
    /// Computes the cost per event from a number of events: instructions as integers, allocations in hundredths.
    pub(crate) fn per_event(instructions: u64, allocations: u64, events: usize) -> Self {
        let events = events as f64;
        Self {
            instructions: (instructions as f64 / events).round(),
            allocations: (allocations as f64 / events * 100.0).round() / 100.0,
        }
    }
}

/// Costs by the name of the stage.
pub(crate) type Costs = BTreeMap<String, Cost>;

/// The recorded baseline, a file in the repository.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The version of the compiler that built the recorded program.
    pub(crate) rustc: String,
    /// The target of the compiler.
    pub(crate) host: String,
    pub(crate) stages: Costs,
}

impl Baseline {
    /// Compares measurements with the baseline, stage by stage. `all` are the names of all stages, measured or not.
    pub(crate) fn compare(&self, measured: &Costs, all: &[&str]) -> Comparison {
        let known = |name: &String| all.contains(&name.as_str());
        let gone = self.stages.keys().filter(|name| !known(name)).cloned();
        let rows = measured.iter().map(|(name, now)| Row {
            name: name.clone(),
            now: *now,
            recorded: self.stages.get(name).copied(),
        });
        Comparison {
            rows: rows.collect(),
            gone: gone.collect(),
        }
    }
}

/// The result of a comparison. Its `Display` is a table.
#[derive(Debug)]
pub(crate) struct Comparison {
    rows: Vec<Row>,
    /// Recorded stages that no longer exist.
    gone: Vec<String>,
}

#[derive(Debug)]
struct Row {
    name: String,
    now: Cost,
    recorded: Option<Cost>,
}

impl Comparison {
    /// One line for each difference that is not an improvement.
    pub(crate) fn faults(&self) -> Vec<String> {
        let rows = self.rows.iter().flat_map(Row::faults);
        let gone = self.gone.iter().map(|name| {
            format!(
                "{name}: there is no such stage any more; take it out of the baseline with {RECORD}"
            )
        });
        rows.chain(gone).collect()
    }
}

impl Row {
    fn faults(&self) -> Vec<String> {
        let Self {
            name,
            now,
            recorded,
        } = self;
        let Some(recorded) = recorded else {
            return vec![format!(
                "{name}: not in the baseline; record it with {RECORD}"
            )];
        };
        let mut faults = Vec::new();
        if now.instructions > recorded.instructions * MARGIN {
            let more = (now.instructions / recorded.instructions - 1.0) * 100.0;
            faults.push(format!(
                "{name}: {more:.0} % more instructions an event, {} and not {}",
                now.instructions, recorded.instructions
            ));
        }
        if now.allocations > recorded.allocations * MARGIN + SHARED {
            faults.push(format!(
                "{name}: more allocations an event, {} and not {}",
                now.allocations, recorded.allocations
            ));
        }
        faults
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<28}{:>13}{:>10}{:>8}{:>13}{:>10}",
            "an event", "instructions", "recorded", "ratio", "allocations", "recorded"
        )?;
        for Row {
            name,
            now,
            recorded,
        } in &self.rows
        {
            write!(f, "{name:<28}{:>13}", now.instructions)?;
            match recorded {
                Some(it) => writeln!(
                    f,
                    "{:>10}{:>8.3}{:>13}{:>10}",
                    it.instructions,
                    now.instructions / it.instructions,
                    now.allocations,
                    it.allocations
                )?,
                None => writeln!(f, "{:>10}{:>8}{:>13}{:>10}", "-", "-", now.allocations, "-")?,
            }
        }
        Ok(())
    }
}
