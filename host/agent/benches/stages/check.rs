//! Counts the instructions and allocations of the stages under valgrind, and compares them with the baseline.
//!
//! Each stage runs twice with the same prepared input. The second run uses more of it. The difference is the cost of the stage,
//! without start and set-up.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::{
    baseline::{Baseline, Cost, Costs},
    bench::Stage,
    callgrind::Totals,
    say,
};

/// The first run handles `FEW` events, the second `COUNTED` more; only these count. A pipeline handles 4096 events at a time, so its
/// first run handles more.
const FEW: usize = 512;
const COUNTED: usize = 4096;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/stages/baseline.json");

/// Compares the stages whose name contains `only`, or records all stages.
pub(crate) fn check(stages: &[Stage], only: &str, record: bool) -> anyhow::Result<()> {
    ensure!(
        !record || only.is_empty(),
        "a baseline is of all stages: leave STAGES out to record one"
    );
    let chosen: Vec<_> = stages
        .iter()
        .filter(|stage| stage.name.contains(only))
        .collect();
    ensure!(!chosen.is_empty(), "no stage has `{only}` in its name");
    let folder = tempfile::tempdir().context("make a folder")?;
    // Compiles the plugins once, uncounted, for the processor that valgrind emulates.
    valgrind(&["--tool=none"], &["--once"], folder.path())?;
    let mut measured = Costs::new();
    for stage in chosen {
        measured.insert(stage.name.to_owned(), count(*stage, folder.path())?);
    }
    let (rustc, host) = compiler()?;
    if record {
        let baseline = Baseline {
            rustc,
            host,
            stages: measured,
        };
        let text = serde_json::to_string_pretty(&baseline)?;
        fs::write(BASELINE, text + "\n").with_context(|| format!("write {BASELINE}"))?;
        say(&baseline.compare(&baseline.stages, &[]));
        return Ok(());
    }
    let text = fs::read_to_string(BASELINE).with_context(|| format!("read {BASELINE}"))?;
    let baseline: Baseline =
        serde_json::from_str(&text).with_context(|| format!("read {BASELINE}"))?;
    ensure!(
        baseline.host == host,
        "the baseline is of {}, and this is {host}: instructions can't be compared",
        baseline.host
    );
    let all: Vec<_> = stages.iter().map(|stage| stage.name).collect();
    let comparison = baseline.compare(&measured, &all);
    say(&comparison);
    if baseline.rustc != rustc {
        say(&format_args!(
            "recorded with rustc {}, this is {rustc}: that alone may make a difference",
            baseline.rustc
        ));
    }
    let faults = comparison.faults();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Measures the cost of an event in this stage.
fn count(stage: Stage, folder: &Path) -> anyhow::Result<Cost> {
    let few = FEW.div_ceil(stage.events);
    let most = few + COUNTED / stage.events;
    let total = |times: usize| {
        let profile = folder.join("profile");
        let out = format!("--callgrind-out-file={}", profile.display());
        let options = ["--tool=callgrind", "--compress-strings=no", &out];
        let (times, most) = (times.to_string(), most.to_string());
        valgrind(&options, &["--count", stage.name, &times, &most], folder)?;
        let profile = fs::read_to_string(&profile).context("read callgrind's profile")?;
        Totals::of(&profile).context("callgrind has written no whole profile")
    };
    let (before, after) = (total(few)?, total(most)?);
    Ok(Cost::per_event(
        after.instructions.saturating_sub(before.instructions),
        after.allocations.saturating_sub(before.allocations),
        (most - few) * stage.events,
    ))
}

/// Runs this program under valgrind. The folder contains the compiled plugins.
fn valgrind(options: &[&str], args: &[&str], folder: &Path) -> anyhow::Result<()> {
    let cache = folder.join("plugins");
    let output = Command::new("valgrind")
        .args(options)
        .arg(env::current_exe().context("find this program")?)
        .args(args)
        .arg(cache)
        .stdin(Stdio::null())
        .output()
        .context("run valgrind; install it, or call `make bench-check`, which does so on Debian")?;
    ensure!(
        output.status.success(),
        "valgrind {} {}: {}\n{}",
        options.join(" "),
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Returns the version of the compiler, and its target.
fn compiler() -> anyhow::Result<(String, String)> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let field = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key));
        value
            .map(str::to_owned)
            .with_context(|| format!("rustc -vV says no `{key}`"))
    };
    Ok((field("release: ")?, field("host: ")?))
}
