//! Runs lightmon and other tools under the same loads, in turns, and reports the cost of each. Knows only the command lines and
//! the output of the tools.

mod lines;
mod loads;
mod measure;
mod plot;
mod results;
mod running;
mod table;
mod tools;

use std::{
    env, fs,
    io::{self, Write as _},
    num::NonZero,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{mount, sys::utsname::uname};

use self::{
    lines::Said,
    loads::{LOADS, Load},
    measure::Memory,
    results::{Cost, Machine, Rest, Results, Run},
    running::Running,
    tools::{NOTHING, Programs, TCPLIFE, TOOLS, Tool},
};
use crate::{args, kind::Kind};

/// The name of the measurement without a load.
const AT_REST: &str = "rest";
/// How long a tool is measured without a load.
const IDLE: Duration = Duration::from_secs(3);
/// How long the machine is quiet before that.
const SETTLE: Duration = Duration::from_secs(2);
const TRACEFS: &str = "/sys/kernel/tracing";

/// Measures the requested loads, and shows all results. Returns whether all measurements succeeded.
pub(crate) fn run(options: &args::SideBySide) -> anyhow::Result<bool> {
    let mut results = Results::read(&options.results)?;
    if !options.show {
        measure(options, &mut results)?;
    }
    if let Some(path) = &options.plot {
        fs::write(path, plot::of(&results)).with_context(|| format!("write {}", path.display()))?;
    }
    write!(io::stdout(), "{}", table::of(&results))?;
    Ok(true)
}

/// Measures one load after the other. New results replace old ones of the same load, and are saved after each load.
fn measure(options: &args::SideBySide, results: &mut Results) -> anyhow::Result<()> {
    let names = || LOADS.iter().map(|load| load.name).chain([AT_REST]);
    if let Some(unknown) = options
        .loads
        .iter()
        .find(|load| !names().any(|name| name == *load))
    {
        let names: Vec<&str> = names().collect();
        bail!("there is no load {unknown}; there are {}", names.join(", "));
    }
    let is_wanted =
        |load: &str| options.loads.is_empty() || options.loads.iter().any(|name| name == load);
    mount_tracefs()?;
    let bench = Bench::new(options)?;
    results.machine = machine()?;
    results.versions = bench.versions();
    if is_wanted(AT_REST) {
        results.rests =
            bench.in_turns(AT_REST, |_| true, |tool, round| bench.at_rest(tool, round))?;
        results.write(&options.results)?;
    }
    for load in LOADS.iter().filter(|load| is_wanted(load.name)) {
        let takes = |tool: &Tool| (tool.takes)(load);
        let runs = bench.in_turns(load.name, takes, |tool, round| {
            bench.under(load, tool, round).map(Some)
        })?;
        results.runs.retain(|run| run.load != load.name);
        results.runs.extend(runs);
        results.write(&options.results)?;
    }
    Ok(())
}

/// The settings of all measurements.
struct Bench<'a> {
    options: &'a args::SideBySide,
    programs: Programs,
    /// The path of this program, which makes the load.
    load: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(options: &'a args::SideBySide) -> anyhow::Result<Self> {
        let load = env::current_exe().context("find this program")?;
        let absolute = |path: &Path| std::path::absolute(path);
        let program = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let folder = absolute(&options.folder)?;
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let programs = Programs {
            lightmon: match &options.lightmon {
                Some(path) => absolute(path)?,
                None => load.with_file_name("lightmon"),
            },
            plugins: absolute(&options.plugins)?,
            folder,
            bpftrace: program(&options.bpftrace)?,
            tcplife: program(&options.tcplife)?,
            original: program(&options.original)?,
        };
        programs
            .write_scripts()
            .context("write the scripts for bpftrace")?;
        Ok(Self {
            options,
            programs,
            load,
        })
    }

    /// Measures all tools, round by round. Each round begins with another tool, so that quiet moments favour none.
    fn in_turns<T>(
        &self,
        what: &str,
        takes: impl Fn(&Tool) -> bool,
        measure: impl Fn(&Tool, u32) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Vec<T>> {
        let is_there = |tool: &&Tool| {
            tool.name == NOTHING || (tool.command)(&self.programs, Kind::Tcp).is_some()
        };
        let mut tools: Vec<&Tool> = TOOLS
            .iter()
            .filter(is_there)
            .filter(|tool| takes(tool))
            .collect();
        let mut measured = Vec::new();
        for round in 1..=self.options.rounds {
            for tool in &tools {
                // An error is ignored: if stderr is closed, there is no place to report it.
                let _ = writeln!(io::stderr(), "{what}, round {round}: {}", tool.name);
                let one =
                    measure(tool, round).with_context(|| format!("{} under {what}", tool.name))?;
                measured.extend(one);
            }
            tools.rotate_left(1);
        }
        Ok(measured)
    }

    fn under(&self, load: &Load, tool: &Tool, round: u32) -> anyhow::Result<Run> {
        let command = (tool.command)(&self.programs, load.kind);
        let mut running = command
            .map(|command| Running::start(command, &self.programs.folder))
            .transpose()?;
        let before = running.as_ref().map(Running::at_rest);
        let report = load.run(&self.load, self.options.quick)?;
        let cost = match (&mut running, before) {
            (Some(running), Some(before)) => {
                let cpu_seconds = (running.at_rest() - before).as_secs_f64();
                let Memory { peak, ring } = running.process().memory();
                let Said { excluded, lost } = Said::of(&running.end()?);
                Some(Cost {
                    reported: tool.lines.count(&report, running.output()?)?,
                    excluded,
                    lost,
                    cpu_seconds,
                    peak,
                    ring,
                })
            }
            _ => None,
        };
        Ok(Run {
            load: load.name.to_owned(),
            tool: tool.name.to_owned(),
            round,
            made: report.made(),
            seconds: report.seconds,
            times: report.times.context("the load has measured nothing")?,
            cost,
        })
    }

    fn at_rest(&self, tool: &Tool, round: u32) -> anyhow::Result<Option<Rest>> {
        let Some(mut command) = (tool.command)(&self.programs, Kind::Tcp) else {
            return Ok(None);
        };
        if tool.name == TCPLIFE {
            // tcplife buffers its output. Without the buffer, the output shows when tcplife knows a connection.
            command = unbuffered(&command);
        }
        let mut running = Running::start(command, &self.programs.folder)?;
        running.at_rest();
        // Some tools follow connections for a while: they still work after the last one.
        thread::sleep(SETTLE);
        let process = running.process();
        let now = || {
            (
                Instant::now(),
                process.cpu(),
                process.sleeps(),
                measure::forks().unwrap_or(0),
            )
        };
        let before = now();
        thread::sleep(IDLE);
        let after = now();
        let Memory { peak, ring } = process.memory();
        running.end()?;
        Ok(Some(Rest {
            tool: tool.name.to_owned(),
            round,
            first_event_ms: running.first_event.as_secs_f64() * 1000.0,
            seconds: (after.0 - before.0).as_secs_f64(),
            cpu_seconds: (after.1 - before.1).as_secs_f64(),
            sleeps: after.2 - before.2,
            forks_of_others: after.3 - before.3,
            peak,
            ring,
        }))
    }

    /// The version that each program prints. The original prints none.
    fn versions(&self) -> Vec<String> {
        let Programs {
            lightmon,
            bpftrace,
            tcplife,
            ..
        } = &self.programs;
        let all = [Some(lightmon), bpftrace.as_ref(), tcplife.as_ref()];
        let version = |program: &PathBuf| {
            let output = Command::new(program).arg("--version").output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout);
            Some(text.lines().next()?.to_owned())
        };
        all.into_iter().flatten().filter_map(version).collect()
    }
}

/// The same tool, but it prints each line at once.
fn unbuffered(command: &Command) -> Command {
    let mut unbuffered = Command::new("stdbuf");
    unbuffered
        .arg("-oL")
        .arg(command.get_program())
        .args(command.get_args());
    unbuffered
}

/// Mounts tracefs. lightmon mounts it by itself, the other tools do not.
fn mount_tracefs() -> anyhow::Result<()> {
    if Path::new(TRACEFS).join("events").exists() {
        return Ok(());
    }
    let none = None::<&str>;
    mount::mount(
        none,
        TRACEFS,
        Some("tracefs"),
        mount::MsFlags::empty(),
        none,
    )
    .with_context(|| format!("mount tracefs on {TRACEFS}: run this as root"))
}

fn machine() -> anyhow::Result<Machine> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = cpus.lines().filter(|line| line.starts_with("model name"));
    let model = models.next().and_then(|line| line.split_once(": "));
    Ok(Machine {
        kernel: uname()?.release().to_string_lossy().into_owned(),
        cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
        cores: thread::available_parallelism().map_or(1, NonZero::get),
    })
}
