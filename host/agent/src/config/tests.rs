use super::*;

fn config(file: &str, flags: Flags) -> Config {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::write(&path, file).unwrap();
    Config::layered(Flags {
        config: Some(path.to_path_buf()),
        ..flags
    })
    .unwrap()
}

fn error(text: &str) -> String {
    format!("{:#}", parse(Path::new("config.yaml"), text).unwrap_err())
}

#[test]
fn the_keys_of_the_original_work() {
    let file = "ipv6: true\nk8s: false\nformat: table\ndocker_runtime: /run/docker\ndocker_data: /var/lib/docker\n\
                    exclude: 'dport=80'\nlogPath: /tmp/logs\nebpfType: 1\n";
    let config = config(file, Flags::default());
    assert_eq!(config.format, Format::Table);
    assert_eq!(config.log_path, Some("/tmp/logs".into()));
    assert!(!config.exclude.is_empty());
    assert_eq!(config.notes.len(), 2, "{:?}", config.notes);
}

#[test]
fn a_flag_overrides_the_file() {
    let args = Flags {
        format: Some(Format::Json),
        exclude: vec![" ".into()],
        v6: true,
        ..Flags::default()
    };
    let config = config("format: table\nexclude: dport=80\nipv6: false", args);
    assert_eq!(config.format, Format::Json);
    assert!(config.exclude.is_empty() && config.notes.is_empty());
}

#[test]
fn the_buffer_size_is_a_number_or_a_text() {
    for (file, bytes) in [
        ("buffer_size: 16M", 16 << 20),
        ("buffer_size: 65536", 65_536),
    ] {
        let config = config(file, Flags::default());
        assert_eq!(config.buffer_size, Some(bytes), "{file}");
    }
    assert_eq!(
        error("format: json\nbuffer_size: 5M\n"),
        "config.yaml:2:14: must be a power of two: use 4M or 8M"
    );
    let args = Flags {
        buffer_size: Some("1M".parse().unwrap()),
        ..Flags::default()
    };
    let config = config("buffer_size: 16M", args);
    assert_eq!(config.buffer_size, Some(1 << 20));
}

#[test]
fn the_self_test_interval_is_at_least_a_second() {
    let config = config("canary_interval: 1m", Flags::default());
    assert_eq!(config.canary_interval, Some(Duration::from_secs(60)));
    assert!(error("canary_interval: 10ms").ends_with("must be at least 1s"));
}

#[test]
fn defaults_apply_without_a_file() {
    let config = config("", Flags::default());
    assert_eq!((config.format, config.count), (Format::Log, None));
    assert!(config.exclude.is_empty() && config.plugins.is_empty() && config.notes.is_empty());
}

#[test]
fn the_cache_can_be_set_and_disabled() {
    let file = "cache_dir: /x\n";
    let asked = |folder: &str| Flags {
        cache_dir: Some(folder.into()),
        ..Flags::default()
    };
    assert_eq!(config(file, Flags::default()).cache_dir, Some("/x".into()));
    assert_eq!(config(file, asked("/y")).cache_dir, Some("/y".into()));
    assert_eq!(config(file, asked("none")).cache_dir, None);
    assert_eq!(config("cache_dir: none", Flags::default()).cache_dir, None);
}

#[test]
fn dead_letters_and_watch_can_be_set() {
    let off = config("dead_letters: none", Flags::default());
    assert_eq!((off.watch, off.dead_letters), (false, None));
    let file = "watch: true\ndead_letters: /x/letters\n";
    let on = config(file, Flags::default());
    assert_eq!(
        (on.watch, on.dead_letters),
        (true, Some("/x/letters".into()))
    );
}

#[test]
fn cri_sockets_are_one_or_more() {
    let asked = Flags {
        cri_socket: vec!["/c".into()],
        ..Flags::default()
    };
    assert_eq!(config("cri_socket: /a", asked).cri_socket, ["/c"]);
    for (file, sockets) in [
        ("", &[][..]),
        ("cri_socket: /a", &["/a"]),
        ("cri_socket: [/a, unix:///b]", &["/a", "unix:///b"]),
    ] {
        assert_eq!(config(file, Flags::default()).cri_socket, sockets, "{file}");
    }
    assert!(error("cri_socket: {}").starts_with("config.yaml:1:"));
}

#[test]
fn plugins_have_settings_of_any_type() {
    let file = "plugins:\n  - path: a.wasm\n  - path: b.wasm\n    config: {keys: [token], n: 3}\n    on_fault: drop\n";
    let [a, b] = config(file, Flags::default()).plugins.try_into().unwrap();
    assert_eq!((a.path, a.on_fault), ("a.wasm".into(), None));
    assert_eq!(
        (b.config["keys"][0].as_str(), b.config["n"].as_i64()),
        (Some("token"), Some(3))
    );
    assert_eq!(b.on_fault, Some(lightmon_plugin_host::OnFault::Drop));
}

#[test]
fn an_entry_of_plugins_has_all_keys_of_the_command_line() {
    let hex = "0123456789abcdef".repeat(4);
    let file = format!(
        "plugins:\n  - path: a.wasm\n    sha256: '{hex}'\n    grant: {{tables: {{t: a.csv}}}}\n    \
             limits: {{batch: 200ms, memory: 128M, events: 64}}\n    when: dport=53\n    optional: true\n    on_fault: halt\n"
    );
    let [spec] = config(&file, Flags::default()).plugins.try_into().unwrap();
    let text = format!(
        "a.wasm:sha256={hex},table.t=a.csv,limits.batch=200ms,limits.memory=128M,limits.events=64,when=dport=53,optional=true,on_fault=halt"
    );
    assert_eq!(spec, text.parse().unwrap());
    for (line, expected) in [
        (
            "limits: {batsh: 1s}",
            "limits.batsh is unknown: the limits are answer, ",
        ),
        (
            "limits: {memory: 1 pound}",
            "limits.memory=1 pound is not valid: ",
        ),
        ("sha256: abc", "sha256=abc is not a SHA-256: "),
        ("grant: {files: {}}", "unknown field `files`"),
    ] {
        let text = error(&format!("plugins:\n  - path: a.wasm\n    {line}\n"));
        assert!(
            text.starts_with("config.yaml:3:") && text.contains(expected),
            "{text}"
        );
    }
}

#[test]
fn errors_name_file_line_and_column() {
    insta::assert_snapshot!(error("format: json\nexlude: dport=80\n"));
    insta::assert_snapshot!(error("ipv6: maybe\n"));
    insta::assert_snapshot!(error("format: xml\n"));
    insta::assert_snapshot!(error("a: [\n"));
}

#[test]
fn a_missing_named_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("config.yaml");
    let args = Flags {
        config: Some(missing.clone()),
        ..Flags::default()
    };
    let error = format!("{:#}", Config::layered(args).unwrap_err());
    assert!(
        error.starts_with(&format!("read settings from {}: ", missing.display())),
        "{error}"
    );
}
