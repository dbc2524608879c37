//! Reload of plugins whose files change while lightmon runs: the replacement takes over between two events. An invalid
//! replacement changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::{
    grants::lookup,
    guest::{module, text, typed, wit},
    monitor::Lightmon,
};

/// A guest that tags each event `seen` with a word of three letters.
fn tags(word: &str) -> Vec<u8> {
    let text = text(&["tag_all"]).replace("seenyes", &format!("seen{word}"));
    typed(&wat::parse_str(text).expect("WebAssembly text"), &wit())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Puts a file there as a build does it: whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (new, path) = (self.0.path().join("new"), self.0.path().join(name));
        fs::write(&new, bytes).expect("a file");
        fs::rename(&new, &path).expect("a file");
        path
    }
}

fn seen(lightmon: &mut Lightmon) -> String {
    lightmon.pass(80)["tags"]["seen"].to_string()
}

/// The messages without what differs from run to run: the file's time, and the folder.
fn lasting(messages: &[String]) -> Vec<String> {
    let messages = messages
        .iter()
        .filter(|message| !message.starts_with("lightmon: "));
    messages
        .map(|message| {
            let (text, rest) = message.split_once(" of 20").unwrap_or((message, ""));
            let name = rest.find(" plugin=").map_or("", |at| &rest[at..]);
            format!("{}{name}", text.trim())
        })
        .collect()
}

#[test]
fn sighup_reloads_changed_plugins() {
    let folder = Folder::new();
    let (a, b) = (
        folder.put("a.wasm", &tags("old")),
        folder.put("b.wasm", &module(&["keep"])),
    );
    let mut lightmon = Lightmon::start(&[&a, &b], &[]);
    assert_eq!(seen(&mut lightmon), r#""old""#);
    folder.put("a.wasm", &tags("new"));
    assert_eq!(seen(&mut lightmon), r#""old""#, "nobody has asked");
    lightmon.hang_up();
    lightmon.hear("plugin replaced by its file of 20");
    assert_eq!(seen(&mut lightmon), r#""new""#);
    lightmon.hang_up();
    lightmon.hear("none of their files has changed");
    let (status, lines, messages) = lightmon.end();
    assert_eq!((status, lines.len()), (Some(0), 0), "{messages:#?}");
    assert_eq!(
        lasting(&messages),
        [
            "INFO plugin replaced by its file plugin=\"a\"",
            "INFO plugins not reloaded: none of their files has changed",
        ]
    );
    let count = messages
        .iter()
        .find(|message| message.starts_with("lightmon: plugin a: "));
    assert!(
        count.expect("a summary").contains("3 calls, 3 events"),
        "{messages:#?}"
    );
}

#[test]
fn an_invalid_replacement_changes_nothing() {
    let folder = Folder::new();
    let path = folder.put("a.wasm", &tags("old"));
    let mut lightmon = Lightmon::start(&[&path], &[]);
    assert_eq!(seen(&mut lightmon), r#""old""#);
    for (bytes, reason) in [
        (
            &tags("new")[..200],
            "reason=is damaged, truncated or too new",
        ),
        (b"", "reason=is empty"),
        (b"hello", "reason=is not WebAssembly"),
        (
            &module(&["keep", "init_trap"]),
            "reason=can't start: init trapped",
        ),
        (&module(&["keep", "init_error"]), "reason=refuses to start"),
    ] {
        folder.put("a.wasm", bytes);
        lightmon.hang_up();
        let message = lightmon.hear("plugin not reloaded: its file can't be used plugin=a ");
        assert!(message.contains(reason), "{message}");
        assert_eq!(seen(&mut lightmon), r#""old""#);
    }
    fs::remove_file(&path).expect("a file");
    lightmon.hang_up();
    lightmon.hear("reason=can't be read: No such file or directory");
    folder.put("a.wasm", &tags("new"));
    lightmon.hang_up();
    lightmon.hear("plugin replaced");
    assert_eq!(seen(&mut lightmon), r#""new""#);
}

#[test]
fn a_reload_enables_a_disabled_plugin() {
    let folder = Folder::new();
    let path = folder.put("a.wasm", &module(&["poison_trap"]));
    let mut lightmon = Lightmon::start(&[&path], &[]);
    let disable = |lightmon: &mut Lightmon| {
        let text =
            "plugin disabled until it is reloaded, by SIGHUP or --watch; its events pass unchanged";
        let before = lightmon.times_said(text);
        // After each fault comes a pause that is twice as long, in which events go past it.
        while lightmon.times_said(text) == before {
            assert_eq!(lightmon.pass(666)["tags"]["plugin_skipped"], "a");
            thread::sleep(Duration::from_millis(20));
        }
    };
    disable(&mut lightmon);
    lightmon.hang_up();
    lightmon.hear("plugin enabled again");
    // It drops the first event of each batch that it survives.
    lightmon.send(1);
    disable(&mut lightmon);
    folder.put("a.wasm", &tags("new"));
    lightmon.hang_up();
    lightmon.hear("plugin replaced");
    assert_eq!(seen(&mut lightmon), r#""new""#);
}

/// The owner of `192.0.2.1`, as a table says.
fn owner(lightmon: &mut Lightmon) -> String {
    lightmon.pass(80)["tags"]["ip"].to_string()
}

fn owned_by(owner: &str) -> Vec<u8> {
    format!("net,owner\n192.0.2.0/24,{owner}\n").into_bytes()
}

/// A plugin that adds the owner as a tag. The owner is `old`, from `nets.csv` in the folder.
fn with_table(args: &[&str]) -> (Folder, Lightmon) {
    let folder = Folder::new();
    let (path, table) = (
        folder.put("a.wasm", &lookup("owner")),
        folder.put("nets.csv", &owned_by("old")),
    );
    let spec = format!("{}:table.t={}", path.display(), table.display());
    let lightmon = Lightmon::start(&[Path::new(&spec)], args);
    (folder, lightmon)
}

#[test]
fn changed_tables_are_reloaded() {
    let (folder, mut lightmon) = with_table(&[]);
    assert_eq!(owner(&mut lightmon), r#""old""#);

    folder.put("nets.csv", &owned_by("new"));
    lightmon.hang_up();
    lightmon.hear("plugin replaced by its file of 20");
    assert_eq!(owner(&mut lightmon), r#""new""#);
    lightmon.hang_up();
    lightmon.hear("none of their files has changed");

    for (content, reason) in [
        ("net,owner\n\"", "nets.csv"),
        ("net,note\n192.0.2.0/24,x\n", "no column `owner`"),
    ] {
        folder.put("nets.csv", content.as_bytes());
        lightmon.hang_up();
        let message = lightmon.hear("plugin not reloaded: its file can't be used plugin=a ");
        assert!(message.contains(reason), "{message}");
        assert_eq!(owner(&mut lightmon), r#""new""#);
    }
    fs::remove_file(folder.0.path().join("nets.csv")).expect("a file");
    lightmon.hang_up();
    let message = lightmon.hear("table not reloaded: its file can't be used ");
    assert!(message.contains("can't be read: No such file"), "{message}");
    assert_eq!(owner(&mut lightmon), r#""new""#);

    folder.put("nets.csv", &owned_by("six"));
    lightmon.hang_up();
    lightmon.hear("plugin replaced by its file of 20");
    assert_eq!(owner(&mut lightmon), r#""six""#);
    assert_eq!(lightmon.end().0, Some(0));
}

#[test]
fn watched_tables_are_reloaded() {
    let (folder, mut lightmon) = with_table(&["--watch"]);
    assert_eq!(owner(&mut lightmon), r#""old""#);
    fs::write(folder.0.path().join("nets.csv"), owned_by("new")).expect("a file");
    lightmon.hear("plugin replaced");
    assert_eq!(owner(&mut lightmon), r#""new""#);
}

fn watches(place: impl Fn(&Path, &[u8])) {
    let folder = Folder::new();
    let path = folder.put("a.wasm", &tags("one"));
    let mut lightmon = Lightmon::start(&[&path], &["--watch"]);
    assert_eq!(seen(&mut lightmon), r#""one""#);
    for word in ["two", "six"] {
        place(&path, &tags(word));
        lightmon.hear("plugin replaced");
        assert_eq!(seen(&mut lightmon), format!("\"{word}\""));
    }
    let (status, _, messages) = lightmon.end();
    assert_eq!(
        (status, lasting(&messages).len()),
        (Some(0), 2),
        "{messages:#?}"
    );
}

#[test]
fn watched_files_are_reloaded_when_renamed_into_place() {
    watches(|path, bytes| {
        let new = path.with_extension("new");
        fs::write(&new, bytes).expect("a file");
        fs::rename(new, path).expect("a file");
    });
}

#[test]
fn watched_files_are_reloaded_when_written() {
    watches(|path, bytes| fs::write(path, bytes).expect("a file"));
}

#[test]
fn watched_files_are_reloaded_when_replaced() {
    watches(|path, bytes| {
        fs::remove_file(path).expect("a file");
        fs::write(path, bytes).expect("a file");
    });
}
