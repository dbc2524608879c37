//! `lightmon doctor` on this machine: with all capabilities, with none, and with a runtime that does not answer.

use std::{
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use lightmon_capture::ebpf;
use serde_json::Value;

const NOBODY: u32 = 65534;

fn doctor(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .arg("doctor")
        .args(args)
        .current_dir("/")
        .env_remove("DOCKER_HOST");
    command
}

/// Runs the command. Checks that it writes to stdout only, and ends in time.
#[track_caller]
fn run(mut command: Command) -> (Output, String) {
    let begun = Instant::now();
    let output = command.output().unwrap();
    // It takes five seconds; the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(20), "{command:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn lightmon() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lightmon"))
}

/// Returns the check of this name.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|check| check["check"] == name);
    let check = found
        .next()
        .unwrap_or_else(|| panic!("no {name}: {report:#}"));
    assert!(found.next().is_none(), "twice {name}");
    check
}

#[test]
#[ignore = "needs root: make test runs it"]
fn root_gets_all_hooks_and_the_self_test() {
    let (output, text) = run(doctor(lightmon(), &["--json"]));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["v"], 1);
    // 3: something is lost on this machine, for example because of its cgroups.
    let expected = match report["state"].as_str().unwrap() {
        "fine" => 0,
        "degraded" | "unknown" => 3,
        state => panic!("{state}: {report:#}"),
    };
    assert_eq!(output.status.code(), Some(expected));
    for (hook, _) in ebpf::hooks() {
        assert_eq!(check(&report, &hook)["state"], "fine", "{hook}");
    }
    let self_test = check(&report, "canary");
    assert_eq!(self_test["state"], "fine", "{self_test}");
    // No colours in a pipe.
    let (output, lines) = run(doctor(lightmon(), &[]));
    assert_eq!(output.status.code(), Some(expected));
    assert!(!lines.contains('\x1b'), "{lines}");
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(lines.lines().count(), checks.len() + 1);
    for check in checks {
        let name = check["check"].as_str().unwrap();
        assert!(
            lines.lines().any(|line| line.starts_with(name)),
            "{name}: {lines}"
        );
    }
}

#[test]
#[ignore = "needs root: make test runs it"]
fn a_user_without_capabilities_gets_advice() {
    // Other users may not be able to read the build folder.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("lightmon");
    std::fs::copy(lightmon(), &program).unwrap();
    for path in [folder.path(), &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = doctor(&program, &["--json"]);
    command.uid(NOBODY).gid(NOBODY);
    let (output, text) = run(command);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["state"], "missing");
    let load = check(&report, "CAP_BPF, CAP_PERFMON");
    assert_eq!(load["state"], "missing");
    let todo = load["todo"].as_str().unwrap();
    assert!(todo.starts_with("run as root"), "{todo}");
    for name in ["kernel program", "canary"] {
        assert_eq!(check(&report, name)["state"], "unknown", "{name}");
    }
    for (hook, _) in ebpf::hooks() {
        assert_eq!(check(&report, &hook)["state"], "unknown", "{hook}");
    }
}

#[test]
fn a_runtime_that_does_not_answer_is_degraded() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker\x1b[31m.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let host = format!("unix://{}", socket.display());
    let (_, text) = run(doctor(lightmon(), &["--docker-host", &host]));
    let line = text
        .lines()
        .find(|line| line.starts_with("Docker"))
        .unwrap();
    assert!(line.contains("degraded"), "{line}");
    assert!(line.contains(r"docker\x1b[31m.sock"), "{line}");
}
