//! The commands for plugin authors, with real plugins. Tests that need a compiler are ignored by default: `make test`
//! sees to that.

#[path = "plugins/guest.rs"]
#[expect(dead_code, reason = "the plugins' own tests use all of it")]
mod guest;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/events.jsonl");
const PUBLIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/public.jsonl");

/// `lightmon` with these arguments, in a folder.
fn lightmon(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightmon"));
    command
        .args(args)
        .current_dir(folder)
        .env("TZ", "UTC")
        .env("LIGHTMON_CACHE_DIR", folder.join(".cache"))
        .env("LIGHTMON_DEAD_LETTERS", "none");
    command
}

/// Runs the command, checks its exit code, and returns stdout and stderr.
fn out(command: &mut Command, code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("lightmon runs");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert_eq!(status.code(), Some(code), "{command:?}\n{stdout}\n{stderr}");
    format!("{stdout}{stderr}")
}

/// Creates a folder with a recording and the plugin drop.wasm, which drops connections to port 53.
fn with_plugin() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("drop.wasm"),
        guest::component(&["drop_port"]),
    )
    .expect("a file");
    fs::create_dir(folder.path().join("tests")).expect("a folder");
    fs::copy(RECORDING, folder.path().join("tests/drop.jsonl")).expect("a file");
    folder
}

#[test]
fn a_plugin_is_checked_line_by_line() {
    let folder = with_plugin();
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "check", "drop.wasm"]),
        0,
    );
    for line in [
        "fine     format      a component",
        "fine     contract    version 0.1.0",
        "fine     export      filter: lightmon passes events",
        "warning  manifest    none",
        "fine     start       the plugin starts with these settings",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    fs::write(folder.path().join("text.wasm"), "(module)").expect("a file");
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "check", "text.wasm", "--json"]),
        1,
    );
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let checks = report["checks"].as_array().expect("a list");
    let start = checks
        .iter()
        .find(|check| check["check"] == "start")
        .expect("a start");
    assert_eq!(start["verdict"], "wrong");
    assert!(
        start["fix"]
            .as_str()
            .expect("a fix")
            .starts_with("convert it first"),
        "{start}"
    );
}

#[test]
fn check_reports_the_same_start_error_as_a_run() {
    let folder = with_plugin();
    fs::write(
        folder.path().join("no.wasm"),
        guest::component(&["keep", "init_error"]),
    )
    .expect("a file");
    let check = out(
        &mut lightmon(folder.path(), &["plugin", "check", "no.wasm"]),
        1,
    );
    let run = out(
        &mut lightmon(
            folder.path(),
            &["--plugin", "no.wasm", "--replay", RECORDING],
        ),
        2,
    );
    let reason = run.trim().split_once("no.wasm: ").expect("a reason").1;
    assert!(check.contains(reason), "{check}\n{run}");
}

#[test]
fn inspect_does_not_run_the_plugin() {
    let folder = with_plugin();
    // Its init never ends.
    fs::write(
        folder.path().join("loop.wasm"),
        guest::component(&["keep", "init_loop"]),
    )
    .expect("a file");
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "inspect", "loop.wasm", "--json"]),
        0,
    );
    let plugin: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&plugin["name"], &plugin["contract"]),
        (&"loop".into(), &"0.1.0".into())
    );
    assert_eq!(plugin["exports"][0], "lightmon:plugin/filter@0.1.0");
    assert_eq!(plugin["sha256"].as_str().map(str::len), Some(64));
    let wit = out(
        &mut lightmon(folder.path(), &["plugin", "inspect", "loop.wasm", "--wit"]),
        0,
    );
    assert!(
        wit.contains("export lightmon:plugin/filter@0.1.0;"),
        "{wit}"
    );
}

#[test]
fn output_is_compared_with_the_expected_output() {
    let folder = with_plugin();
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "test", "drop.wasm"]),
        1,
    );
    assert!(
        text.contains("tests/drop.expected.jsonl does not exist"),
        "{text}"
    );
    out(
        &mut lightmon(folder.path(), &["plugin", "test", "drop.wasm", "--update"]),
        0,
    );
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "test", "drop.wasm"]),
        0,
    );
    assert!(text.contains("tests/drop.jsonl: as expected, "), "{text}");

    let expected = folder.path().join("tests/drop.expected.jsonl");
    let lines = fs::read_to_string(&expected).expect("what should come out");
    assert!(!lines.contains("\"dport\":53,"), "{lines}");
    fs::write(
        &expected,
        lines.replacen("\"comm\":\"curl\"", "\"comm\":\"wget\"", 1),
    )
    .expect("a file");
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "test", "drop.wasm"]),
        1,
    );
    assert!(text.contains("tests/drop.jsonl: differs\n"), "{text}");
    assert!(text.contains("    comm \"wget\" → \"curl\"\n"), "{text}");

    fs::remove_dir_all(folder.path().join("tests")).expect("a folder");
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "test", "drop.wasm"]),
        2,
    );
    assert!(
        text.contains("`lightmon record -o tests/NAME.jsonl`"),
        "{text}"
    );
}

#[test]
fn a_replay_shows_each_change() {
    let folder = with_plugin();
    let args = ["plugin", "replay", "drop.wasm", RECORDING];
    let text = out(&mut lightmon(folder.path(), &args), 0);
    assert!(
        text.contains("   4  systemd-resolve → 192.0.2.53:53  dropped\n"),
        "{text}"
    );
    assert!(text.contains("0 changed"), "{text}");

    fs::write(
        folder.path().join("tag.wasm"),
        guest::component(&["tag_all"]),
    )
    .expect("a file");
    let args = ["plugin", "replay", "tag.wasm", RECORDING, "--json"];
    let text = out(&mut lightmon(folder.path(), &args), 0);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let (sum, changes) = lines.split_last().expect("a sum");
    assert_eq!((&sum["dropped"], &sum["unchanged"]), (&0.into(), &0.into()));
    assert_eq!(sum["changed"], changes.len());
    assert!(
        changes
            .iter()
            .all(|change| change["after"]["tags"] != change["before"]["tags"]),
        "{text}"
    );
}

#[test]
fn a_plugin_is_measured() {
    let folder = with_plugin();
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "bench", "drop.wasm", "--json"]),
        0,
    );
    let bench: Value = serde_json::from_str(&text).expect("JSON");
    let batches: Vec<u64> = bench["costs"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|cost| cost["batch"].as_u64())
        .collect();
    assert_eq!(batches, [1, 8, 64, 256]);
    assert!(
        bench["costs"][2]["p50Ns"].as_f64().expect("a number") > 0.0,
        "{text}"
    );

    fs::write(folder.path().join("trap.wasm"), guest::component(&["trap"])).expect("a file");
    let text = out(
        &mut lightmon(folder.path(), &["plugin", "bench", "trap.wasm"]),
        1,
    );
    assert!(text.contains("its cost cannot be measured"), "{text}");
}

#[test]
fn a_run_takes_settings_and_options() {
    let folder = with_plugin();
    let args = [
        "plugin",
        "run",
        "drop.wasm:on_fault=drop",
        "--",
        "--replay",
        RECORDING,
        "--count",
        "2",
    ];
    let text = out(&mut lightmon(folder.path(), &args), 0);
    assert!(text.starts_with("| TIME"), "{text}");
    assert!(text.contains("plugin drop: "), "{text}");
}

#[test]
fn a_recording_is_redacted_and_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = |more: &[&str], code| {
        let mut args = vec!["record", "-o", "x.jsonl", "--replay", PUBLIC];
        args.extend(more);
        out(&mut lightmon(folder.path(), &args), code)
    };
    let text = record(&[], 0);
    assert!(text.contains("events in x.jsonl, redacted"), "{text}");
    let file = folder.path().join("x.jsonl");
    assert_eq!(
        fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o600
    );
    let redacted = fs::read_to_string(&file).expect("a recording");
    let original = fs::read_to_string(PUBLIC).expect("a recording");
    assert_eq!(redacted.lines().count(), original.lines().count());
    for (redacted, original) in redacted.lines().zip(original.lines()) {
        let [redacted, original] =
            [redacted, original].map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        assert_eq!(redacted["dport"], original["dport"]);
        assert_eq!(redacted["comm"], original["comm"]);
        let address = redacted["daddr"].as_str().expect("an address");
        assert!(
            [
                "192.0.2.",
                "2001:db8:",
                "10.",
                "127.",
                "192.168.",
                "172.",
                "f",
                "::1"
            ]
            .iter()
            .any(|net| address.starts_with(net)),
            "{address}"
        );
    }

    assert!(record(&[], 2).contains("--force overwrites it"));
    record(&["--force", "--keep", "all"], 0);
    let kept = fs::read_to_string(&file).expect("a recording");
    let replayed = out(
        lightmon(folder.path(), &["--replay", PUBLIC, "-f", "json"])
            .stderr(std::process::Stdio::null()),
        0,
    );
    assert_eq!(kept, replayed);

    // Wrong usage leaves nothing behind.
    fs::remove_file(&file).expect("a file");
    record(&["--exclude", "dprot=80"], 2);
    assert!(!file.exists());
}

#[test]
fn new_does_not_overwrite_a_project() {
    let folder = tempfile::tempdir().expect("a folder");
    for language in ["rust", "js", "python"] {
        let text = out(
            &mut lightmon(
                folder.path(),
                &[
                    "plugin", "new", "mine", "--lang", language, "--dir", language,
                ],
            ),
            0,
        );
        assert!(text.contains("lightmon plugin build"), "{text}");
        out(
            &mut lightmon(
                folder.path(),
                &[
                    "plugin", "new", "mine", "--lang", language, "--dir", language,
                ],
            ),
            2,
        );
        assert!(
            folder
                .path()
                .join(language)
                .join("tests/mine.jsonl")
                .is_file()
        );
    }
    let text = out(&mut lightmon(folder.path(), &["plugin", "build", "."]), 2);
    assert!(text.contains("is not a plugin project"), "{text}");
}

/// Creates, builds, checks, tests and replays a project.
fn from_new_to_replay(language: &str, environment: &[(String, String)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let project = folder.path().join("mine");
    out(
        &mut lightmon(
            folder.path(),
            &["plugin", "new", "mine", "--lang", language],
        ),
        0,
    );
    let with = |args: &[&str]| {
        let mut command = lightmon(&project, args);
        command.envs(environment.iter().cloned());
        command
    };
    out(&mut with(&["plugin", "build"]), 0);
    let plugin = "build/mine.wasm";
    assert!(project.join(plugin).is_file());
    let check = out(&mut with(&["plugin", "check", plugin]), 0);
    assert!(
        check.contains("fine     manifest    mine 0.1.0, a filter"),
        "{check}"
    );
    let test = out(&mut with(&["plugin", "test", plugin]), 0);
    assert!(test.contains("tests/mine.jsonl: as expected"), "{test}");
    let replay = out(
        &mut with(&["plugin", "replay", plugin, "tests/mine.jsonl"]),
        0,
    );
    assert!(replay.contains("unchanged"), "{replay}");
}

/// With what the languages' `setup.sh` have made available first.
fn toolchains() -> [(String, String); 1] {
    let bin = root().join("target/toolchains/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([bin].into_iter().chain(env::split_paths(&path))).expect("a path");
    [("PATH".to_owned(), path.to_str().expect("UTF-8").to_owned())]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the tree")
}

#[test]
#[ignore = "needs the compiler for WebAssembly"]
fn a_new_project_builds_and_passes_in_rust() {
    let output = Command::new(root().join("plugins/build.sh"))
        .arg("--env")
        .output()
        .expect("the script runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    let environment: Vec<_> = variables
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    from_new_to_replay("rust", &environment);
}

#[test]
#[ignore = "needs clang and wasm-ld"]
fn a_new_project_builds_and_passes_in_c() {
    from_new_to_replay("c", &toolchains());
}

#[test]
#[ignore = "needs Go"]
fn a_new_project_builds_and_passes_in_go() {
    from_new_to_replay("go", &toolchains());
}

#[test]
#[ignore = "needs node, npm and its registry"]
fn a_new_project_builds_and_passes_in_javascript() {
    from_new_to_replay("js", &toolchains());
}

#[test]
#[ignore = "needs componentize-py"]
fn a_new_project_builds_and_passes_in_python() {
    from_new_to_replay("python", &toolchains());
}
