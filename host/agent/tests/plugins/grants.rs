//! Look-up tables: a plugin can read the granted files only, and files that are not tables are refused.

use lightmon_event::Event;
use sha2::Digest as _;

use crate::{
    Host, event,
    guest::{of_text, text, with_manifest},
    mmdb::{
        self,
        Value::{List, Map, Number, Pointer, Text},
    },
    patient,
};

/// A guest that tags each event with that column of the table `t`.
pub(crate) fn lookup(column: &str) -> Vec<u8> {
    let text = text(&["import_tables", "lookup"])
        .replace("\"COLUMN\"", &format!("{column:?}"))
        .replace("i32.const LENGTH", &format!("i32.const {}", column.len()));
    of_text(&text)
}

fn to(address: &str) -> Event {
    Event {
        destination: format!("{address}:443").parse().expect("an address"),
        ..event(443)
    }
}

/// What a plugin gets: tags `ip` and `name`.
fn found(table: &std::path::Path, column: &str, address: &str) -> [Option<String>; 2] {
    let settings = format!(":table.t={}", table.display());
    let mut run = Host::new(patient())
        .with("p.wasm", lookup(column), &settings)
        .run();
    let out = run.pass(vec![to(address)]);
    ["ip", "name"].map(|key| {
        let mut tags = out[0].tags.iter();
        tags.find(|tag| tag.0 == key).map(|tag| tag.1.clone())
    })
}

/// Creates a file in a new folder.
fn file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a file");
    (folder, path)
}

const NETS: &str = "net,owner,note\n10.0.0.0/8,ours,\n10.1.0.0/16,lab,\"x, y\"\nexample.org,EX,\n";

#[test]
fn csv() {
    let (_folder, path) = file("nets.csv", NETS);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found(&path, "owner", "10.1.2.3"), [some("lab"), some("EX")]);
    assert_eq!(found(&path, "note", "10.1.2.3"), [some("x, y"), None]);
    assert_eq!(
        found(&path, "", "10.9.9.9"),
        [
            some(r#"{"net":"10.0.0.0/8","owner":"ours","note":""}"#),
            some(r#"{"net":"example.org","owner":"EX","note":""}"#)
        ]
    );
    assert_eq!(found(&path, "owner", "192.0.2.1"), [None, some("EX")]);
    assert_eq!(found(&path, "owner", "[2001:db8::1]"), [None, some("EX")]);
}

#[test]
fn mmdb() {
    let country = Map(vec![
        (
            "country",
            Map(vec![
                ("iso_code", Text("DE")),
                ("names", Map(vec![("en", Text("Germany"))])),
            ]),
        ),
        ("asn", Number(64500)),
        ("tags", List(vec![Text("a\"b"), Text("c")])),
    ]);
    let bytes = mmdb::file(&[
        (0x0a << 24, 104, country),
        (0x2001_0db8 << 96, 32, Text("documentation")),
    ]);
    let (_folder, path) = file("any.name", bytes);
    let ip = |column: &str, address: &str| found(&path, column, address)[0].clone();
    for (column, expected) in [
        ("country/iso_code", Some("DE")),
        ("country/names/en", Some("Germany")),
        ("asn", Some("64500")),
        ("tags/1", Some("c")),
        ("tags/2", None),
        ("country/iso", None),
        (
            "country",
            Some(r#"{"iso_code":"DE","names":{"en":"Germany"}}"#),
        ),
        ("tags", Some(r#"["a\"b","c"]"#)),
        (
            "",
            Some(
                r#"{"country":{"iso_code":"DE","names":{"en":"Germany"}},"asn":64500,"tags":["a\"b","c"]}"#,
            ),
        ),
    ] {
        assert_eq!(ip(column, "10.1.2.3").as_deref(), expected, "{column}");
    }
    assert_eq!(ip("", "[2001:db8::9]").as_deref(), Some("documentation"));
    assert_eq!(ip("", "192.0.2.1"), None);
    assert_eq!(found(&path, "", "192.0.2.1")[1], None, "it has no names");
}

/// Damage and ill will end in no entry, or in an error at the start.
#[test]
fn hostile_mmdb() {
    let long: &'static str = "x".repeat(5000).leak();
    let mut deep = Text("bottom");
    for _ in 0..100 {
        deep = List(vec![deep]);
    }
    // A list whose only element points back to it.
    let circle = List(vec![Pointer(0)]);
    for (what, value) in [("long", Text(long)), ("deep", deep), ("circle", circle)] {
        let (_folder, path) = file("hostile.mmdb", mmdb::file(&[(0x0a << 24, 104, value)]));
        let log = crate::logged(|| {
            assert_eq!(found(&path, "", "10.1.2.3")[0], None, "{what}");
        });
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(
            log[0].contains("an entry can't be given to plugins: "),
            "{log:?}"
        );
    }

    let good = mmdb::file(&[(
        0x0a << 24,
        104,
        Map(vec![("a", List(vec![Text("b"), Number(1)]))]),
    )]);
    let bytes = lookup("");
    for at in (0..good.len())
        .rev()
        .take(400)
        .step_by(3)
        .chain((0..good.len()).step_by(41))
    {
        let mut damaged = good.clone();
        damaged[at] ^= 1 << (at % 8);
        let (_folder, path) = file("damaged.mmdb", damaged);
        let host =
            Host::new(patient()).with("p.wasm", &bytes, &format!(":table.t={}", path.display()));
        if let Ok(mut chain) = host.load() {
            let stats = lightmon_event::Stats::new(chain.names());
            chain
                .run(&mut vec![to("10.1.2.3")], &stats)
                .expect("no fault");
        }
    }
}

#[test]
fn too_large_lookups_are_a_fault() {
    let (_folder, path) = file("nets.csv", NETS);
    let settings = format!(":table.t={}", path.display());
    for (port, fault) in [
        (1, "looked up more than 4096 KiB in one call"),
        (2, "used table 7, which it has not opened"),
    ] {
        let mut run = Host::new(patient())
            .with("p.wasm", lookup(""), &settings)
            .run();
        let log = crate::logged(|| drop(run.pass(vec![event(port)])));
        assert!(log[0].ends_with(&format!("fault={fault}")), "{log:?}");
    }
}

const ASKS: &str = r#"{"permissions":[{"table":"t","why":"names what is local"},{"table":"more","optional":true}]}"#;

#[test]
fn no_table_is_granted_by_default() {
    let error = |bytes: Vec<u8>, settings: &str| {
        Host::new(patient()).with("p.wasm", bytes, settings).error()
    };
    assert_eq!(
        error(lookup(""), ""),
        "plugin p.wasm: needs a table: grant it with table.NAME=FILE"
    );
    let asks = || with_manifest(lookup(""), ASKS);
    let missing =
        "plugin p.wasm: needs the table `t` (names what is local): grant it with table.t=FILE";
    assert_eq!(error(asks(), ""), missing);
    let (_folder, path) = file("nets.csv", NETS);
    let path = path.display();
    assert_eq!(error(asks(), &format!(":table.more={path}")), missing);
    assert_eq!(
        error(asks(), &format!(":table.t={path},table.net={path}")),
        "plugin p.wasm: was granted the table `net`, but asks for `t`, `more`"
    );
    assert_eq!(
        error(crate::guest::module(&["keep"]), &format!(":table.t={path}")),
        "plugin p.wasm: was granted the table `t`, but asks for nothing"
    );
    // Without a manifest, lightmon does not know the plugin's tables; the plugin itself reports the missing one.
    assert_eq!(
        error(lookup(""), &format!(":table.x={path}")),
        "plugin p.wasm: refuses to start: no table `t` is granted: give the plugin one with table.t=FILE"
    );
    let optional = with_manifest(
        lookup(""),
        &ASKS.replace("\"why\"", "\"optional\":true,\"why\""),
    );
    assert!(error(optional, "").contains("refuses to start: no table `t` is granted"));
    assert_eq!(
        error(lookup("nobody"), &format!(":table.t={path}")),
        "plugin p.wasm: refuses to start: table `t`: no column `nobody`; there are net, owner, note"
    );
}

#[test]
fn files_that_are_not_tables_are_refused() {
    for (name, content, expected) in [
        (
            "a.csv",
            "",
            "is empty: its first line must name the columns",
        ),
        (
            "a.csv",
            "a,b\n10.0.0.0/99,x\n",
            "line 2: `10.0.0.0/99` is not an address, network or name",
        ),
        ("a.mmdb", "nonsense", "is not an MMDB file, or damaged: "),
    ] {
        let (folder, path) = file(name, content);
        let error = Host::new(patient())
            .with(
                "p.wasm",
                lookup(""),
                &format!(":table.t={}", path.display()),
            )
            .error()
            .replace(&format!("{}/", folder.path().display()), "");
        assert!(
            error.starts_with(&format!(
                "plugin p.wasm: the table `t` in {name}: {expected}"
            )),
            "{error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let missing = missing.display();
    let error = Host::new(patient())
        .with("p.wasm", lookup(""), &format!(":table.t={missing}"))
        .error();
    assert_eq!(
        error,
        format!(
            "plugin p.wasm: the table `t` in {missing}: can't be read: No such file or directory (os error 2)"
        )
    );
    let error = Host::new(patient())
        .with("p.wasm", lookup(""), ":table.t=/dev/zero")
        .error();
    assert!(error.ends_with("is not a regular file"), "{error}");
}

#[test]
fn a_file_with_another_digest_is_refused() {
    let bytes = crate::guest::module(&["keep"]);
    let digest: String = sha2::Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let host =
        |digest: &str| Host::new(patient()).with("p.wasm", &bytes, &format!(":sha256={digest}"));
    assert!(host(&digest).load().is_ok());
    assert!(host(&digest.to_uppercase()).load().is_ok());
    let other = "0".repeat(64);
    assert_eq!(
        host(&other).error(),
        format!(
            "plugin p.wasm: has the SHA-256 {digest}, but sha256={other} is set: if the file was changed on purpose, set the new one"
        )
    );
}

#[test]
fn an_optional_plugin_may_fail_to_start() {
    let mut run = None;
    let log = crate::logged(|| {
        run = Some(
            Host::new(patient())
                .with("a.wasm", "nonsense", ":optional=true")
                .with(
                    "b.wasm",
                    crate::guest::module(&["tag_all"]),
                    ":optional=true",
                )
                .with("c.wasm", lookup(""), ":optional=true")
                .run(),
        );
    });
    let mut run = run.expect("loaded");
    assert_eq!(run.chain.names(), ["b"]);
    assert_eq!(run.pass(vec![event(1)])[0].tags.len(), 1);
    assert_eq!(log.len(), 2, "{log:?}");
    for (line, name, reason) in [
        (
            &log[0],
            "a",
            "is not WebAssembly: give the .wasm file that the plugin's build makes",
        ),
        (&log[1], "c", "needs a table: grant it with table.NAME=FILE"),
    ] {
        let end =
            format!("/{name}.wasm: {reason}; lightmon goes on without it, since it is optional");
        assert!(
            line.starts_with("WARN plugin /") && line.ends_with(&end),
            "{line}"
        );
    }
    let host = Host::new(patient()).with("a.wasm", "nonsense", ":optional=false");
    assert!(host.load().is_err());
}

#[test]
fn settings_that_the_manifest_does_not_know() {
    let manifest = r#"{"config":{"properties":{"keys":{},"mode":{}},"required":["keys"],"additionalProperties":false}}"#;
    let bytes = with_manifest(crate::guest::module(&["keep"]), manifest);
    let host = |settings: &str| Host::new(patient()).with("p.wasm", &bytes, settings);
    assert!(host(":keys=a,b").load().is_ok());
    assert_eq!(
        host(":kyes=a").error(),
        "plugin p.wasm: has no setting `kyes`: the settings are keys, mode"
    );
    assert_eq!(
        host("").error(),
        "plugin p.wasm: needs the setting `keys`: the settings are keys, mode"
    );
}

/// Each plugin has limits of its own. A plugin that contains a language runtime may use more memory.
#[test]
fn limits_of_one_plugin() {
    let bytes = crate::guest::module(&["keep"]);
    let small =
        Host::new(patient())
            .with("q.wasm", &bytes, "")
            .with("p.wasm", &bytes, ":limits.memory=1M");
    assert_eq!(
        small.error(),
        "plugin p.wasm: can't start: init requested 4194304 bytes of memory, the limit is 1048576"
    );
    let limits = lightmon_plugin_host::Limits {
        memory: 1 << 20,
        ..patient()
    };
    let python = || with_manifest(bytes.clone(), r#"{"example":"libpython3.14.so"}"#);
    assert!(
        Host::new(limits.clone())
            .with("p.wasm", python(), "")
            .load()
            .is_ok()
    );
    assert!(
        Host::new(limits)
            .with("p.wasm", python(), ":limits.memory=1M")
            .load()
            .is_err()
    );
}
