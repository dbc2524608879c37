use super::*;

/// `path {settings} on_fault`, or the error.
fn parse(text: &str) -> String {
    match text.parse::<Spec>() {
        Ok(Spec {
            path,
            config,
            on_fault,
            ..
        }) => format!(
            "{} {} {on_fault:?}",
            path.display(),
            Value::Object(config).to_string().replace('"', "")
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn file_and_settings() {
    for (text, expected) in [
        ("geoip.wasm", "geoip.wasm {} None"),
        ("geoip.wasm:", "geoip.wasm {} None"),
        (
            "./redact.wasm:on_fault=drop,keys=token",
            "./redact.wasm {keys:token} Some(Drop)",
        ),
        ("a.wasm:on_fault=pass", "a.wasm {} Some(Pass)"),
        (
            "a.wasm:keys=token,password,x=1",
            "a.wasm {keys:token,password,x:1} None",
        ),
        ("a.wasm:empty=", "a.wasm {empty:} None"),
        ("a.wasm:q=a=b", "a.wasm {q:a=b} None"),
        ("a.wasm:url=http://h:80/", "a.wasm {url:http://h:80/} None"),
        ("", "`` does not name a file: expected FILE[:key=value,…]"),
        (
            ":a=b",
            "`:a=b` does not name a file: expected FILE[:key=value,…]",
        ),
        ("a.wasm:b", "setting `b` is not of the form key=value"),
        ("a.wasm:=b", "setting `=b` is not of the form key=value"),
        ("a.wasm:,", "setting `` is not of the form key=value"),
        ("a.wasm:b=1,b=2", "setting `b` is given twice"),
        (
            "a.wasm:on_fault=pass,on_fault=drop",
            "setting `on_fault` is given twice",
        ),
        (
            "a.wasm:on_fault=stop",
            "on_fault=stop is not valid: use on_fault=pass, on_fault=drop or on_fault=halt",
        ),
        (
            "a.wasm:optional=yes",
            "optional=yes is not valid: use optional=true or optional=false",
        ),
        (
            "a.wasm:sha256=0g",
            "sha256=0g is not a SHA-256: expected 64 hexadecimal digits, as sha256sum prints them",
        ),
        (
            "a.wasm:table.=x",
            "`table.` grants nothing: expected table.NAME=FILE",
        ),
        (
            "a.wasm:table.t=",
            "`table.t` grants nothing: expected table.NAME=FILE",
        ),
        (
            "a.wasm:limits.batch=x",
            "limits.batch=x is not valid: expected a time of 1ms to 1h, such as 200ms",
        ),
        ("a.wasm:when=a,when=b", "setting `when` is given twice"),
    ] {
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn keys_of_the_host() {
    let hex = "0123456789abcdef".repeat(4);
    let text = format!(
        "a.wasm:when=dport=53 && uid=0,table.t=a=b.csv,limits.batch=1s,optional=true,sha256={hex},table=x"
    );
    let spec: Spec = text.parse().expect("a spec");
    assert_eq!(spec.when.as_deref(), Some("dport=53 && uid=0"));
    assert_eq!(
        spec.tables,
        BTreeMap::from([("t".to_owned(), "a=b.csv".into())])
    );
    assert!(spec.limits.has("batch") && spec.optional);
    assert_eq!(spec.sha256.map(|digest| digest.to_string()), Some(hex));
    let config: Vec<_> = spec.config.keys().collect();
    assert_eq!(config, ["table"], "a setting of the plugin");
}

#[test]
fn the_file_name_can_look_like_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("UTF-8");
    std::fs::create_dir(format!("{folder}/a:b=c")).expect("a folder");
    let file = format!("{folder}/a:b=c/x:y=z.wasm");
    std::fs::write(&file, "").expect("a file");
    assert_eq!(parse(&file), format!("{file} {{}} None"));
    assert_eq!(
        parse(&format!("{file}:k=v:w")),
        format!("{file} {{k:v:w}} None")
    );
}

#[test]
fn names_are_escaped() {
    for (path, name) in [
        ("/opt/geoip.wasm", "geoip"),
        ("geo.ip.wasm", "geo.ip"),
        ("..", ".."),
        ("a\nb\x1b[1m.wasm", r"a\nb\u{1b}[1m"),
    ] {
        assert_eq!(path.parse::<Spec>().expect("a spec").name(), name);
    }
}
