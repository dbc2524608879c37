//! Evil guests in the whole monitor, each before a good one. lightmon continues, or refuses the guest at the start. It accounts
//! for every event, applies the verdicts of the good guest, and logs each kind of fault once.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use wasmparser::{Parser, Payload};

use crate::{
    guest::{component, module, of_text, of_version, text},
    monitor::{Lightmon, command},
};

const EVENTS: u16 = 12;

struct Ended {
    status: Option<i32>,
    lines: Vec<serde_json::Value>,
    messages: Vec<String>,
}

impl Ended {
    /// Messages about the evil one, but for the summary.
    fn about_evil(&self) -> Vec<&str> {
        let messages = self.messages.iter().map(|message| &**message);
        messages
            .filter(|message| message.contains("plugin=evil"))
            .collect()
    }

    /// The summary's numbers, which must add up: written and dropped.
    fn balance(&self, name: &str) -> (u64, u64) {
        let summary = self.messages.last().expect("a summary");
        let number = |name: &str| -> u64 {
            let (_, rest) = summary
                .split_once(name)
                .unwrap_or_else(|| panic!("{name}: {summary}"));
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..end].parse().expect("a number")
        };
        let [seen, written, excluded, dropped, lost] =
            ["seen ", "written ", "excluded ", "dropped ", "lost "].map(number);
        assert_eq!(
            seen,
            written + excluded + dropped + lost,
            "{name}: {summary}"
        );
        assert_eq!((seen, lost), (EVENTS.into(), 0), "{name}: {summary}");
        (written, dropped)
    }
}

/// Passes events through the evil plugin and the good one.
fn run(evil: &[u8], settings: &str) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("evil.wasm"), evil).expect("a file");
    fs::write(path("good.wasm"), module(&["tag_all"])).expect("a file");
    let evil = PathBuf::from(format!("{}{settings}", path("evil.wasm").display()));
    let mut lightmon = Lightmon::start(&[&evil, &path("good.wasm")], &[]);
    (0..EVENTS).for_each(|i| lightmon.send(1000 + i));
    let (status, lines, messages) = lightmon.end();
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    Ended {
        status,
        lines: lines.collect(),
        messages,
    }
}

/// A guest that keeps all events, with something else as its allocator from the second call on.
fn allocator(instead: &str) -> Vec<u8> {
    let body = format!(
        "(local $at i32)
         (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
         (if (i32.gt_u (global.get $calls) (i32.const 1)) (then {instead}))"
    );
    let text = text(&["keep"]).replacen("(local $at i32)", &body, 1);
    of_text(&text.replacen(
        "(global $next",
        "(global $calls (mut i32) (i32.const 0))(global $next",
        1,
    ))
}

#[test]
fn a_failing_sink_is_logged_once_and_affects_nothing_else() {
    let guests = [
        ("trap", module(&["trap"]), "trapped: "),
        ("loop", module(&["loop"]), "took longer than 100ms"),
        (
            "recursion",
            module(&["recursion"]),
            "recursed deeper than its stack",
        ),
        ("memory", module(&["memory"]), "bytes of memory, "),
        (
            "table",
            module(&["table"]),
            "requested 1000001 table elements",
        ),
        (
            "100 MB",
            module(&["huge_answer"]),
            "returned data that can't be read: ",
        ),
        (
            "1 MiB of text, often",
            module(&["huge_text"]),
            "returned more than 4096 KiB",
        ),
        (
            "million",
            module(&["million"]),
            "returned more than 4096 KiB",
        ),
        (
            "no text",
            module(&["not_utf8"]),
            "returned data that can't be read: ",
        ),
        (
            "no action",
            module(&["no_such_action"]),
            "returned data that can't be read: ",
        ),
        (
            "nowhere",
            module(&["nowhere"]),
            "returned data that can't be read: ",
        ),
        ("allocator traps", allocator("(unreachable)"), "trapped: "),
        (
            "allocator loops",
            allocator("(loop $ever (br $ever))"),
            "took longer than 100ms",
        ),
        (
            "wild pointer",
            allocator("(return (i32.const -16))"),
            "returned data that can't be read: ",
        ),
        (
            "odd pointer",
            allocator("(return (i32.const 65537))"),
            "returned data that can't be read: ",
        ),
        (
            "end of memory",
            allocator("(return (i32.const 4194300))"),
            "returned data that can't be read: ",
        ),
    ];
    for (name, evil, fault) in guests {
        let ended = run(&evil, "");
        let about = ended.about_evil();
        assert_eq!(ended.status, Some(0), "{name}: {:#?}", ended.messages);
        assert_eq!(about.len(), 1, "{name}: {about:#?}");
        assert!(
            about[0].contains("WARN plugin failed on a batch") && about[0].contains(fault),
            "{name}: {about:#?}"
        );
        assert_eq!(ended.balance(name), (EVENTS.into(), 0), "{name}");
        for line in &ended.lines {
            assert_eq!(line["tags"]["plugin_skipped"], "evil", "{name}: {line}");
            assert_eq!(line["tags"]["seen"], "yes", "{name}: {line}");
        }
    }
}

#[test]
fn nonsense_results_are_ignored() {
    for (name, evil, dropped) in [
        ("keep", module(&["keep"]), false),
        ("bad decisions", module(&["bad_decisions"]), true),
        ("dropped", module(&["dropped"]), true),
        ("huge set", module(&["huge_set"]), false),
        (
            "all in one place",
            allocator("(return (i32.const 65536))"),
            false,
        ),
        ("a log flood", module(&["import_log", "log"]), false),
    ] {
        let ended = run(&evil, "");
        assert_eq!(ended.status, Some(0), "{name}: {:#?}", ended.messages);
        let (_, lost) = ended.balance(name);
        assert_eq!(lost > 0, dropped, "{name}");
        // Messages of the plugin; at most twenty each second.
        assert!(
            ended.about_evil().len() <= 200,
            "{name}: {}",
            ended.about_evil().len()
        );
        for line in &ended.lines {
            assert_eq!(line["tags"]["seen"], "yes", "{name}: {line}");
            assert_eq!(line["comm"], "curl", "{name}: {line}");
        }
        let messages = ended.messages.concat();
        assert!(!messages.contains(['\x1b', '\0']), "{name}: {messages:?}");
    }
}

#[test]
fn a_dead_letter_can_be_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("evil.wasm"), module(&["poison_trap"])).expect("a file");
    let letters = path("letters.jsonl");
    let mut command = command();
    command.arg("--plugin").arg(path("evil.wasm"));
    let mut lightmon = Lightmon::start_command(command.env("LIGHTMON_DEAD_LETTERS", &letters));
    lightmon.send(666);
    let (status, lines, messages) = lightmon.end();
    assert_eq!((status, lines.len()), (Some(0), 1));
    let summary = messages
        .iter()
        .find(|line| line.starts_with("lightmon: plugin evil: 1 call, 1 event, "));
    let summary = summary.unwrap_or_else(|| panic!("{messages:#?}"));
    assert!(
        summary.contains(", 1 fault, 1 skipped, 1 dead letter, "),
        "{summary}"
    );

    let replay = std::process::Command::new(env!("CARGO_BIN_EXE_lightmon"))
        .args(["-f", "json", "--replay"])
        .arg(&letters)
        .arg("--plugin")
        .arg(path("evil.wasm"))
        .current_dir("/")
        .env("LIGHTMON_CACHE_DIR", "none")
        .env("LIGHTMON_DEAD_LETTERS", "none")
        .output()
        .expect("the binary");
    assert_eq!(String::from_utf8_lossy(&replay.stdout).trim_end(), lines[0]);
    let messages = String::from_utf8_lossy(&replay.stderr).into_owned();
    assert!(
        messages.contains("trapped: wasm `unreachable`"),
        "{messages}"
    );
}

/// Loads a plugin from a path: it must be refused, with one message.
fn refused(name: &str, path: &Path, why: &str) {
    let lightmon = Lightmon::start(&[path], &[]);
    let (status, lines, messages) = lightmon.end();
    assert_eq!((status, lines.len()), (Some(2), 0), "{name}: {messages:#?}");
    assert_eq!(messages.len(), 1, "{name}: {messages:#?}");
    let start = format!("lightmon: plugin {}: ", path.display());
    assert!(
        messages[0].starts_with(&start) && messages[0].contains(why),
        "{name}: {messages:#?}"
    );
    assert!(
        messages[0].len() < 2000 && !messages[0].contains('\x1b'),
        "{name}: {messages:#?}"
    );
}

#[test]
fn invalid_plugins_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let good = component(&["keep"]);
    let code = wasmtime::Engine::default().precompile_component(&good);
    let trapping_allocator =
        text(&["keep"]).replacen("(local $at i32)", "(local $at i32) (unreachable)", 1);
    let damaged = "is damaged, truncated or too new";
    let start = "can't start: init ";
    for (name, bytes, why) in [
        ("empty", vec![], "is empty"),
        ("init trap", module(&["keep", "init_trap"]), start),
        (
            "init loop",
            module(&["keep", "init_loop"]),
            "can't start: init took longer than 5s",
        ),
        (
            "init error",
            module(&["keep", "init_error"]),
            "refuses to start: ",
        ),
        ("start trap", module(&["keep", "start_trap"]), start),
        (
            "start loop",
            module(&["keep", "start_loop"]),
            "can't start: init took longer than 5s",
        ),
        ("allocator traps", of_text(&trapping_allocator), start),
        ("0.2", of_version("0.2.0"), "upgrade lightmon"),
        ("0.0.9", of_version("0.0.9"), "upgrade the plugin"),
        ("1.0", of_version("1.0.0"), "upgrade lightmon"),
        (
            "machine code",
            code.expect("machine code"),
            "is precompiled code",
        ),
        (
            "no section",
            wat::parse_str(text(&["keep"])).expect("a module"),
            "without a component-type section",
        ),
        (
            "no export",
            b"\0asm\x0d\0\x01\0".to_vec(),
            "is not a lightmon plugin",
        ),
        ("cut at 4", good[..4].to_vec(), damaged),
        ("cut at 9", good[..9].to_vec(), damaged),
        (
            "cut in the middle",
            good[..good.len() / 2].to_vec(),
            damaged,
        ),
        ("cut at the end", good[..good.len() - 1].to_vec(), damaged),
        ("deep components", nested(1000), "is not a lightmon plugin"),
        (
            "very deep components",
            nested(100_000),
            "has more than 100000 functions",
        ),
        (
            "many components",
            many_components(&good, 2000),
            "has more than 100000 functions",
        ),
        ("many instances", many_instances(&good, 900), start),
        ("locals", locals(&[1_000_000]), damaged),
        (
            "functions",
            locals(&[0; 100_001]),
            "has more than 100000 functions",
        ),
    ] {
        let path = path("evil.wasm");
        fs::write(&path, bytes).expect("a file");
        refused(name, &path, why);
    }
    refused("folder", folder.path(), "is not a regular file");
    refused("device", Path::new("/dev/zero"), "is not a regular file");
    let pipe = path("pipe.wasm");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    refused("pipe", &pipe, "is not a regular file");
    let huge = path("huge.wasm");
    let file = File::create(&huge).expect("a file");
    file.set_len(200 << 20).expect("a sparse file");
    refused("200 MB", &huge, "is larger than 64 MiB");
    refused(
        "missing",
        &path("missing.wasm"),
        "can't be read: No such file",
    );
}

/// A number as binaries of WebAssembly have it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = number as u8 & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb(content.len())[..], content].concat()
}

/// Components in components: each is the only section of the one around it.
fn nested(depth: usize) -> Vec<u8> {
    const HEAD: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut heads = Vec::new();
    let mut length = HEAD.len();
    // From the inside out, written backwards.
    for _ in 0..depth {
        let mut head = [HEAD, &[4], &leb(length)].concat();
        length += head.len();
        head.reverse();
        heads.extend(head);
    }
    heads.reverse();
    [&heads, HEAD].concat()
}

fn many_components(good: &[u8], count: usize) -> Vec<u8> {
    let empty = section(4, b"\0asm\x0d\0\x01\0");
    [good, &empty.repeat(count)].concat()
}

/// A good plugin that has an empty module instantiated so often.
fn many_instances(good: &[u8], count: usize) -> Vec<u8> {
    let is_module = |payload: &Payload<'_>| matches!(payload, Payload::ModuleSection { .. });
    let payloads = Parser::new(0).parse_all(good).map_while(Result::ok);
    let index = payloads.filter(is_module).count();
    let instance = [&[0], &leb(index)[..], &[0]].concat();
    let instances = [leb(count), instance.repeat(count)].concat();
    [
        good,
        &section(1, b"\0asm\x01\0\0\0"),
        &section(2, &instances),
    ]
    .concat()
}

/// A component around a module with functions that have so many locals each.
fn locals(counts: &[usize]) -> Vec<u8> {
    let functions: String = counts
        .iter()
        .map(|count| format!("(func (local {}))", "i64 ".repeat(*count)))
        .collect();
    let text = text(&["keep"]);
    let body = text.strip_suffix(')').expect("a module");
    of_text(&format!("{body} {functions})"))
}
