//! The command line: help, errors, replays. Runs without root.

use std::{fs, fs::File, process::Command};

const RECORDING: &str = "tests/fixtures/events.jsonl";

/// `TRYCMD=overwrite cargo test -p lightmon --test cli` updates the expected output.
#[test]
fn commands() {
    trycmd::TestCases::new()
        .env("TZ", "UTC")
        .env("LIGHTMON_CACHE_DIR", "none")
        .default_bin_name("lightmon")
        .case("tests/cmd/*.md");
}

fn lightmon(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightmon"));
    command
        .args(args)
        .env("TZ", "UTC")
        .env("LIGHTMON_CACHE_DIR", "none");
    command
}

/// Returns the first line of stdout, and the exit code.
fn first_line(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().next().unwrap_or_default();
    (line.to_owned(), output.status.code())
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, "format: table\n").unwrap();
    let file = file.to_str().unwrap();
    let [log, json, table] = ["{\"conatiner\"", "{\"v\":1", "| TIME"];
    for (args, environment, expected) in [
        (&[][..], None, log),
        (&["-c", file][..], None, table),
        (&["-c", file], Some("json"), json),
        (&["-c", file, "-f", "log"], Some("json"), log),
    ] {
        let mut command = lightmon(&["--replay", RECORDING, "--count", "1"]);
        command.args(args);
        if let Some(format) = environment {
            command.env("LIGHTMON_FORMAT", format);
        }
        let (line, code) = first_line(&mut command);
        assert!(
            line.starts_with(expected),
            "{args:?} {environment:?}: {line}"
        );
        assert_eq!(code, Some(0));
    }
}

#[test]
fn config_yaml_in_the_working_directory_is_read_unless_others_can_write_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, "format: json\n").unwrap();
    let recording = fs::canonicalize(RECORDING).unwrap();
    for (mode, code, expected) in [(0o600, 0, "{\"v\":1"), (0o666, 2, "")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let mut command = lightmon(&["--replay", recording.to_str().unwrap()]);
        let (line, status) = first_line(command.current_dir(folder.path()));
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(status, Some(code));
    }
}

#[test]
fn replaying_a_recording_gives_the_same_lines() {
    let output = lightmon(&["--replay", RECORDING, "-f", "json"])
        .output()
        .unwrap();
    let again = lightmon(&["--replay", "-", "-f", "json"])
        .stdin(File::open(RECORDING).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.stdout, again.stdout);
    // The fixture was recorded in another time zone; from then on nothing changes.
    let recording = tempfile::NamedTempFile::new().unwrap();
    fs::write(recording.path(), &output.stdout).unwrap();
    let third = lightmon(&["--replay", recording.path().to_str().unwrap(), "-f", "json"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, third.stdout);
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_full_disk_is_reported_counted_and_sets_the_exit_code() {
    let output = lightmon(&["--replay", RECORDING])
        .stdout(File::create("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("No space left on device"), "{messages}");
    assert!(
        messages.contains(
            "seen 12 = written 0 + excluded 0 (kernel 0, host 0) + dropped 0 + lost 12 (kernel 0, output 12)"
        ),
        "{messages}"
    );
}

#[test]
fn malformed_lines_are_counted_and_set_the_exit_code() {
    let recording = tempfile::NamedTempFile::new().unwrap();
    let good = fs::read_to_string(RECORDING).unwrap();
    let good = good.lines().next().unwrap();
    fs::write(
        recording.path(),
        format!("{good}\nnonsense\n{good}\n{{}}\n"),
    )
    .unwrap();
    let output = lightmon(&["--replay", recording.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let messages = String::from_utf8(output.stderr).unwrap();
    let balance = "seen 2 = written 2 + excluded 0 (kernel 0, host 0) + dropped 0 + lost 0 (kernel 0, output 0); malformed input 2";
    assert!(messages.contains(balance), "{messages}");
}
