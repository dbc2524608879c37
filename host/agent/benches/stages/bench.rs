//! Runs the stages, with criterion or a fixed number of times for callgrind. The files beside this one define the stages.

use std::{hint::black_box, mem, path::Path};

use criterion::{BatchSize, Criterion, Throughput};

/// Each file of stages registers its stages here.
pub(crate) struct Bench<'a> {
    /// The cache of compiled plugins, if there is one.
    pub(crate) cache: Option<&'a Path>,
    pub(crate) mode: Mode<'a>,
}

pub(crate) enum Mode<'a> {
    /// Measures the time of all stages.
    Time(&'a mut Criterion),
    /// Collects the names of all stages.
    List(Vec<Stage>),
    /// Runs each stage once.
    Once,
    /// Runs one stage `times` times, after preparing `most` inputs.
    Count {
        stage: &'a str,
        times: usize,
        most: usize,
    },
}

/// A stage, or the whole pipeline.
#[derive(Clone, Copy)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// The number of events of a run.
    pub(crate) events: usize,
}

impl Bench<'_> {
    /// Registers a stage. `set_up` returns two functions: one makes the input of a run, one runs the stage. Only the second is
    /// measured, without dropping its output.
    pub(crate) fn stage<I, O, Input, Run>(
        &mut self,
        name: &'static str,
        events: usize,
        set_up: impl FnOnce() -> (Input, Run),
    ) where
        Input: FnMut() -> I,
        Run: FnMut(I) -> O,
    {
        match &mut self.mode {
            Mode::Time(criterion) => time(criterion, Stage { name, events }, set_up),
            Mode::List(stages) => stages.push(Stage { name, events }),
            Mode::Once => {
                let (mut input, mut run) = set_up();
                run(input());
            }
            Mode::Count { stage, times, most } if *stage == name => {
                let (mut input, mut run) = set_up();
                let mut inputs: Vec<I> = (0..*most).map(|_| input()).collect();
                let mut outputs = Vec::with_capacity(*most);
                for input in inputs.drain(..*times) {
                    outputs.push(run(black_box(input)));
                }
                // Not dropped: that would add instructions that are not the stage's, and depend on `times`.
                mem::forget((inputs, black_box(outputs)));
            }
            Mode::Count { .. } => {}
        }
    }
}

fn time<I, O, Input: FnMut() -> I, Run: FnMut(I) -> O>(
    criterion: &mut Criterion,
    Stage { name, events }: Stage,
    set_up: impl FnOnce() -> (Input, Run),
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(events as u64));
    let size = if events > BATCH {
        BatchSize::PerIteration
    } else {
        BatchSize::SmallInput
    };
    // Set up lazily: criterion may be asked for other stages only.
    let (mut set_up, mut made) = (Some(set_up), None);
    group.bench_function("batch", |bencher| {
        if let Some(set_up) = set_up.take() {
            made = Some(set_up());
        }
        let (input, run) = made.as_mut().expect("invariant: made the first time");
        bencher.iter_batched(input, run, size);
    });
    group.finish();
}

/// Events per batch, as on a busy host.
pub(crate) const BATCH: usize = 64;
