//! How the stages are run: by criterion, or so many times for callgrind. What they do is in the files beside this one.

use std::{hint::black_box, mem, path::Path};

use criterion::{BatchSize, Criterion, Throughput};

/// Where each file of stages gives its stages to.
pub(crate) struct Bench<'a> {
    /// Where compiled plugins are kept, if anywhere.
    pub(crate) cache: Option<&'a Path>,
    pub(crate) mode: Mode<'a>,
}

pub(crate) enum Mode<'a> {
    /// Takes the time of all.
    Time(&'a mut Criterion),
    /// Notes which there are.
    List(Vec<Stage>),
    /// Runs all of them once.
    Once,
    /// Runs one of them `times`, having made its input `most` times.
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
    /// How many events one run takes.
    pub(crate) events: usize,
}

impl Bench<'_> {
    /// A stage: `set_up` makes what makes the input of a run, and what runs. Only the latter is measured, and not what becomes
    /// of its output.
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
                // What is left is as much work as was done.
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
    // Not at all, when criterion is asked for others only.
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

/// Events in a batch, as a busy host's.
pub(crate) const BATCH: usize = 64;
