//! What each stage is known to need for an event, and whether it needs more now. Measures nothing.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// More than so much of what is recorded is said.
const MARGIN: f64 = 1.10;

/// Allocations that a whole batch shares may come and go.
const SHARED: f64 = 0.05;

/// How a new baseline is made.
const RECORD: &str = "`make bench-check RECORD=1`";

/// What an event costs in a stage.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Of the processor, outside of the kernel.
    pub(crate) instructions: f64,
    /// Calls of malloc(3) and its like.
    pub(crate) allocations: f64,
}

impl Cost {
    /// Of so many events together: a whole instruction, and a hundredth of an allocation, is as fine as it makes sense.
    pub(crate) fn per_event(instructions: u64, allocations: u64, events: usize) -> Self {
        let events = events as f64;
        Self {
            instructions: (instructions as f64 / events).round(),
            allocations: (allocations as f64 / events * 100.0).round() / 100.0,
        }
    }
}

/// By the name of the stage.
pub(crate) type Costs = BTreeMap<String, Cost>;

/// The file in the repository.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The version of the compiler that it was recorded with.
    pub(crate) rustc: String,
    /// The machine that the compiler compiles for.
    pub(crate) host: String,
    pub(crate) stages: Costs,
}

impl Baseline {
    /// Holds what was measured against it, stage by stage. `all` are the stages that there are, measured or not.
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

/// Displayed as a table.
#[derive(Debug)]
pub(crate) struct Comparison {
    rows: Vec<Row>,
    /// Stages that were recorded and that there are no more.
    gone: Vec<String>,
}

#[derive(Debug)]
struct Row {
    name: String,
    now: Cost,
    recorded: Option<Cost>,
}

impl Comparison {
    /// All that is not as recorded, or better; a line each.
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
