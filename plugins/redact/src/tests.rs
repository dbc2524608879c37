//! Lists by example what is masked and what is not.

use std::time::Instant;

use lightmon_plugin::test::{Harness, event, manifest};

use super::*;

/// Checks a command line, in which `¦` separates arguments: the parts in `{…}` must become `***`.
fn check_with(settings: &str, command: &str) {
    let plain = command.replace(['{', '}'], "");
    let args: Vec<&str> = plain.split('¦').collect();
    let mut expect = Verdict::keep();
    for (i, arg) in command.split('¦').enumerate() {
        let mut masked = String::new();
        let mut rest = arg;
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').unwrap();
            masked = format!("{masked}{before}***");
            rest = after;
        }
        if rest.len() < arg.len() {
            expect = expect.set(Field::Arg(i), format!("{masked}{rest}"));
        }
    }
    let mut plugin = Harness::<Redact>::new(settings).unwrap();
    assert_eq!(plugin.event(event().args(args)), expect, "{command}");
}

fn check(command: &str) {
    check_with("{}", command);
}

#[test]
fn flags_are_masked() {
    check("app¦--password={hunter2}");
    check("app¦--password={two words, and = more}");
    check("app¦--password¦{hunter2}¦--port¦1");
    check("app¦-password={hunter2}");
    check("app¦--db.password={hunter2}¦--verbose");
    check("app¦--api-key={abc}¦--client-secret¦{def}¦--token={ghi}");
    check("java¦-Dspring.datasource.password={hunter2}¦-jar¦app.jar");
    check("app¦--passwd¦{пароль}¦--ключ=1");
    check("mysql¦-uroot¦-p{hunter2}¦db");
    check("sshpass¦-p¦{hunter2}¦ssh¦-p¦22¦host");
    check("curl¦-u¦joe:{hunter2}¦https://example.org/");
    check("docker¦login¦-u¦joe¦-p¦{hunter2}¦registry.example.org");
}

#[test]
fn variables_are_masked() {
    check("env¦PGPASSWORD={hunter2}¦AWS_SECRET_ACCESS_KEY={wJalrXUtnFEMI/K7MDENG}¦psql");
    check("docker¦run¦-e¦MYSQL_ROOT_PASSWORD={two words}¦mysql");
    check("docker¦run¦--env=DB_PASSWORD={hunter2}¦app");
    check("psql¦host=db user=joe password={hunter2} dbname=x");
    check("psql¦host=db password='{two words}' dbname=x");
    check("mount¦-o¦username=joe,password={hunter2},vers=3");
    check("app¦Server=db;User Id=joe;Password={hunter2};Encrypt=true");
}

#[test]
fn headers_and_json_are_masked() {
    check("curl¦-H¦Authorization: Bearer {abc.def-123}");
    check("curl¦-H¦authorization: basic {am9lOmh1bnRlcjI=}");
    check("curl¦-H¦Authorization: {abc def}");
    check("curl¦-HAuthorization: Bearer {abcdefgh}");
    check("curl¦-H¦X-Api-Key: {abc}¦-H¦Accept: text/html");
    check("curl¦-H¦Cookie: {session=abc; theme=dark}");
    // Uses `[` instead of `{`, because `{` marks secrets in these tests.
    check(r#"curl¦-d¦["user":"joe","password":"{hunter2}","x":1]"#);
    check(r#"curl¦-d¦["password" : "{hun\"ter2}", "x": 1]"#);
    check(r#"sh¦-c¦curl -d "[\"token\":\"{abc}\",\"x\":\"y\"]""#);
    check("sh¦-c¦curl -H 'Authorization: Bearer {abcdefgh}' https://example.org");
    check("grpcurl¦-H¦bearer {abcdefgh}");
}

#[test]
fn passwords_in_urls_are_masked() {
    check("psql¦postgres://joe:{hunter2}@db:5432/x?sslmode=disable");
    check("app¦--db=postgres://joe:{hunter2}@db/x");
    check("app¦redis://:{hunter2}@cache:6379/0");
    check("app¦amqp://joe:{h@unter2}@mq");
    check("git¦clone¦https://joe:{hunter2}@example.org/x.git");
    check("git¦clone¦https://{ghp_abcdefghijklmnopqrstuvwxyz0123456789}@example.org/x.git");
    check("app¦joe:{hunter2}@tcp(db:3306)/x");
    check("app¦--dsn=joe:{hunter2}@tcp(db:3306)/x");
    // Ambiguous: masked in doubt.
    check("app¦--ratio=1:{2}@3x");
    check("curl¦https://example.org/?token={abc}&page=2");
    check("curl¦https://example.org/?page=2&api_key={abc#top}");
}

#[test]
fn keys_of_known_form_are_masked() {
    check("aws¦configure¦{AKIAIOSFODNN7EXAMPLE}");
    check("app¦--id¦({AKIAIOSFODNN7EXAMPLE})");
    check("app¦{eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N}");
    check("app¦{glpat-abcdefghij0123456789}¦{xoxb-123456789012-abcdef}");
    check("app¦-----BEGIN PRIVATE KEY-----{ MIIEvQ -----END PRIVATE KEY-----}");
}

#[test]
fn commands_within_an_argument_are_masked() {
    check("sh¦-c¦PGPASSWORD={hunter2 psql -h db}");
    check("sh¦-c¦exec app --password {hunter2} --port 1");
    check("sh¦-c¦exec app --password '{two words}' --port 1");
    check("bash¦-lc¦mysqldump -u root -p{hunter2} db | gzip");
    check("sh¦-c¦sshpass -p {hunter2} ssh -p 22 host 'app --token {abc}'");
}

#[test]
fn other_texts_are_unchanged() {
    for command in [
        "curl¦-s¦https://example.org/path@x?page=2&sort=key",
        "ssh¦-p¦2222¦joe@host",
        "docker¦run¦-p¦80:80¦-v¦/run/secrets:/run/secrets¦nginx:1.27@sha256:0123456789abcdef",
        "docker¦run¦-v¦token:/data¦x",
        "rsync¦joe@host:/path¦.",
        "llm¦--max-tokens=5¦--tokenizer¦bpe",
        "app¦--password-file=/run/password¦--token-url=https://example.org/token",
        "app¦--key=/etc/tls.key¦--user¦joe",
        "mail¦mailto:joe@example.org",
        "git¦clone¦git@github.com:x/y.git",
        "app¦--password¦--host¦db",
        "grep¦-r¦password¦.",
        "sk-short¦AKIA¦eyJ",
        "",
    ] {
        check(command);
    }
}

#[test]
fn settings_are_applied_and_checked() {
    check_with(
        r#"{"keys":"pin+badge-id"}"#,
        "app¦--pin={1234}¦badge_id={7}¦--pinned=1¦--password={x}",
    );
    let mut plugin = Harness::<Redact>::new(r#"{"mask":"<gone>"}"#).unwrap();
    let verdict = plugin.event(event().args(["app", "--password=x", "y"]));
    assert_eq!(
        verdict,
        Verdict::keep().set(Field::Arg(1), "--password=<gone>")
    );
    for (settings, error) in [
        (
            r#"{"key":"x"}"#,
            "unknown field `key`, expected `keys` or `mask`",
        ),
        (
            r#"{"mask":"0123456789012345678901234567890123456789012345678901234567890123456789"}"#,
            "setting `mask`: longer than 64 bytes",
        ),
        (
            r#"{"keys":"a+-"}"#,
            "setting `keys`: `-` has no letter or digit",
        ),
    ] {
        assert_eq!(
            Harness::<Redact>::new(settings).err().as_deref(),
            Some(error)
        );
    }
}

/// For each pattern, a text that must be masked and a similar text that must stay.
#[test]
fn patterns_do_not_mask_similar_texts() {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
    for start in [
        "AKIAABCDEFGHIJKLMNOP",
        "ASIAABCDEFGHIJKLMNOP",
        "ABIAABCDEFGHIJKLMNOP",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "gldt-",
        "glrt-",
        "glptt-",
        "glcbt-",
        "glsoat-",
        "glft-",
        "glagent-",
        "glimt-",
        "GR1348941",
        "xoxa-",
        "xoxb-",
        "xoxp-",
        "xoxr-",
        "xoxs-",
        "xoxe-",
        "xoxc-",
        "xoxd-",
        "xapp-",
        "dckr_pat_",
        "GOCSPX-",
        "hvb.",
        "whsec_",
    ] {
        check(&format!("app¦{{{start}{LETTERS}}}¦x={{{start}{LETTERS}}}"));
        // The prefix alone is an ordinary word.
        check(&format!("app¦{}", &start[..4.min(start.len())]));
    }
    for (masked, plain) in [
        // AWS: the id of the key is recognized by its form, the key by its name.
        (
            "AWS_SECRET_ACCESS_KEY={wJalrXUtnFEMI/K7MDENG}",
            "AWS_REGION=eu-west-1",
        ),
        (
            "aws_session_token={FwoGZXIvYXdzE}",
            "aws_account=123456789012",
        ),
        // Slack.
        (
            "https://hooks.slack.com/services/{T000/B000/XXXX}",
            "https://hooks.slack.com/docs/T000",
        ),
        (
            "curl https://hooks.slack.com/services/{T000/B000/XXXX} -d x",
            "https://slack.com/services/T0",
        ),
        // JSON web tokens.
        (
            "{eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3}",
            "eyJhbGciOiJIUzI1NiJ9",
        ),
        // Headers.
        ("Authorization: Bearer {abc}", "Accept: text/html"),
        (
            "Authorization: Basic {am9lOmh1bnRlcjI=}",
            "Www-Authenticate: Basic",
        ),
        ("Proxy-Authorization: Digest {x}", "Author: Joe"),
        // URLs with a password.
        ("postgres://joe:{hunter2}@db/x", "postgres://joe@db:5432/x"),
        (
            "https://:{hunter2}@example.org",
            "https://example.org:8443/a@b",
        ),
        (
            "amqp://joe:{p%40ss}@mq//v",
            "ssh://git@example.org:22/x.git",
        ),
        // Flags and variables.
        ("--password={x}", "--password-file=/x"),
        ("--db-password={x}", "--passive=x"),
        ("PASSWORD={x}", "PASSWORD_FILE=/x"),
        ("PGPASSWORD={x}", "PGUSER=x"),
        ("MYSQL_PWD={x}", "MYSQL_HOST=x"),
        ("REDISCLI_AUTH={x}", "AUTH=basic"),
        ("sh -c 'curl -u joe:{x} h'", "sh -c 'curl -u joe h'"),
        ("sh -c 'app --password {x} -v'", "sh -c 'app --user x -v'"),
        // Connection strings.
        (
            "Server=db;Database=x;User Id=joe;Password={x};Encrypt=true",
            "Server=db;Database=x;Integrated Security=true",
        ),
        (
            "DefaultEndpointsProtocol=https;AccountName=x;AccountKey={ab/c+d==};EndpointSuffix=y",
            "DefaultEndpointsProtocol=https;AccountName=x",
        ),
        (
            "Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey={abc=}",
            "Endpoint=sb://x/;SharedAccessKeyName=root",
        ),
        (
            "jdbc:postgresql://db/x?user=joe&password={x}&ssl=true",
            "jdbc:postgresql://db/x?user=joe&ssl=true",
        ),
        ("mongodb+srv://joe:{x}@db/x", "mongodb+srv://db/x"),
        // URLs that give temporary access.
        (
            "https://x.blob.example/y?sv=2024&sig={ab%2Fc}&se=1",
            "https://x.blob.example/y?sv=2024&se=1",
        ),
        (
            "https://x.example/y?X-Amz-Signature={0123}&X-Amz-Date=1",
            "https://x.example/y?X-Amz-Date=1",
        ),
        ("sh -c 'mysql -p{x}'", "sh -c 'ssh -p 22'"),
        ("sshpass -p {x} ssh h", "nc -p 22 h"),
        // Private keys.
        (
            "-----BEGIN RSA PRIVATE KEY-----{\nMIIE\n-----END RSA PRIVATE KEY-----}",
            "-----BEGIN PUBLIC KEY-----\nMIIE",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----{b3Bl}",
            "-----BEGIN CERTIFICATE-----\nMIIE",
        ),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----{ x}",
            "-----BEGIN PGP PUBLIC KEY BLOCK----- x",
        ),
        // Hashed passwords.
        ("joe:{$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/}", "cost:$100"),
        (
            "joe:{$$2y$$05$$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1}",
            "$HOME/$2/some/long/path/here",
        ),
    ] {
        check(&format!("app¦{masked}"));
        check(&format!("app¦{plain}"));
    }
}

#[test]
fn labels_are_masked() {
    let mut plugin = Harness::<Redact>::new("{}").unwrap();
    let keep = Verdict::keep;
    for (key, value, expect) in [
        ("db.password", "hunter2", Some("***")),
        ("com.example.api-key", "abc", Some("***")),
        (
            "traefik.http.middlewares.auth.basicauth.users",
            "joe:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/",
            Some("joe:***"),
        ),
        (
            "url",
            "postgres://joe:hunter2@db/x",
            Some("postgres://joe:***@db/x"),
        ),
        (
            "cmd",
            "app --password hunter2 --port 1",
            Some("app --password *** --port 1"),
        ),
        (
            "note",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            Some("***"),
        ),
        ("com.docker.compose.project", "shop", None),
        (
            "org.opencontainers.image.revision",
            "0123456789abcdef0123456789abcdef01234567",
            None,
        ),
        (
            "com.docker.compose.config-hash",
            "5d41402abc4b2a76b9719d911017c592",
            None,
        ),
        ("password", "", None),
        ("password-file", "/run/secrets/x", None),
    ] {
        let expect = expect.map_or(keep(), |it| keep().set(Field::Label(key), it));
        assert_eq!(
            plugin.event(event().label(key, value)),
            expect,
            "{key}={value}"
        );
    }
    let both = event()
        .args(["app", "--token=x"])
        .label("app", "web")
        .label("token", "y");
    let expect = keep()
        .set(Field::Arg(1), "--token=***")
        .set(Field::Label("token"), "***");
    assert_eq!(
        plugin.batch([both.clone(), event(), both]),
        [expect.clone(), keep(), expect]
    );
}

#[test]
fn long_labels() {
    let redact = Secrets {
        names: Names::default(),
        mask: "***".into(),
    };
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let labels = [
        label("a", &"plain ".repeat(2_000)),
        label("b", &format!("{}password=x", "plain ".repeat(2_000))),
        label("token", "x"),
        label("c", &"x".repeat(MAX_SCANNED_BYTES)),
        label("d", "plain"),
    ];
    let expect = ["b", "token", "c", "d"].map(|key| (key.to_owned(), "***".to_owned()));
    assert_eq!(redact.labels(&labels), expect);
}

#[test]
fn an_event_without_arguments_and_labels_is_unchanged() {
    let mut plugin = Harness::<Redact>::new("{}").unwrap();
    assert_eq!(plugin.event(event().no_process()), Verdict::keep());
    assert_eq!(plugin.event(event().short_lived()), Verdict::keep());
    assert_eq!(manifest::<Redact>()["role"], "redactor");
}

/// Masking a masked text again changes nothing.
#[test]
fn masking_twice_changes_nothing() {
    let redact = Secrets {
        names: Names::default(),
        mask: "***".into(),
    };
    let args = [
        "app",
        "--password=x",
        "Authorization: Bearer abcdefgh",
        "postgres://a:b@c",
        "PASSWORD=x y",
    ]
    .map(String::from);
    let mut masked = args.to_vec();
    for (i, text) in redact.arguments(&args) {
        masked[i] = text;
    }
    assert_eq!(
        masked[1..],
        [
            "--password=***",
            "Authorization: Bearer ***",
            "postgres://a:***@c",
            "PASSWORD=***"
        ]
    );
    assert_eq!(redact.arguments(&masked), []);
}

/// Random combinations of the searched patterns with quotes, escapes and multi-byte characters.
#[test]
fn hostile_texts_do_not_panic() {
    const PIECES: &[&str] = &[
        "password",
        "Authorization",
        "Bearer ",
        "=",
        ":",
        "://",
        "@",
        "\"",
        "'",
        "\\",
        "\\\"",
        " ",
        "--",
        "-p",
        "mysql ",
        "é",
        "ключ",
        "🔑",
        "\u{0}",
        "\u{202e}",
        "&",
        ",",
        "eyJ",
        "AKIA",
        "PRIVATE KEY-----",
        "discord.com/api/webhooks/",
        "$2y$",
        "\n",
        "a",
        "****",
        "\u{feff}",
        "İ",
        "ß",
    ];
    let redact = Secrets {
        names: Names::with(&["ключ".into()]).unwrap(),
        mask: "***".into(),
    };
    let mut random = 1u64;
    for _ in 0..20_000 {
        let args: Vec<String> = (0..3)
            .map(|_| {
                let pieces = (0..8).map(|_| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    PIECES[(random >> 33) as usize % PIECES.len()]
                });
                pieces.collect()
            })
            .collect();
        for (i, text) in redact.arguments(&args) {
            assert!(text != args[i] && text.contains("***"), "{args:?}");
        }
    }
}

/// Repeats what each search looks for: each search must take linear time.
#[test]
fn long_texts_take_linear_time() {
    let names = Names::default();
    for piece in [
        "@",
        ":",
        "=",
        "a:",
        "a=",
        "password=",
        "\"",
        "'",
        "\\\"",
        "://",
        "a:b@",
        " ",
        "x ",
        "bearer ",
        "token:\"",
        "-p ",
        "eyJ.",
        "é",
        "hooks.slack.com/services/",
        "PRIVATE KEY-----",
        "$",
        "$6$:",
    ] {
        let text = piece.repeat((1 << 18) / piece.len());
        let start = Instant::now();
        text::secrets(&text, &names, &mut vec![]);
        assert!(start.elapsed().as_secs() < 20, "{piece}");
    }
}

/// The host rejects texts that are too long, and would keep the secrets.
#[test]
fn long_arguments_are_masked_whole() {
    let redact = Secrets {
        names: Names::default(),
        mask: "***".into(),
    };
    let args = |args: &[&str]| {
        redact.arguments(&args.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    };

    // As long as a class path, without a secret: unchanged.
    let path = "/opt/app/lib/some-library-1.2.3.jar:".repeat(1000);
    assert_eq!(
        args(&["java", "-cp", &path, "--password=x"]),
        [(3, "--password=***".to_owned())]
    );

    // With a secret: the whole argument is masked. Later short arguments are masked as usual.
    let secret = format!("{path} password=x");
    assert_eq!(
        args(&["java", &secret, "--password=x"]),
        [(1, "***".to_owned()), (2, "--password=***".to_owned())]
    );

    // Text beyond the searched part is masked, even if the limit is within a character.
    let endless = "é".repeat(MAX_SCANNED_BYTES);
    let changes = args(&[
        &format!("x{}", &endless[..8192]),
        &endless,
        "plain",
        "",
        "a",
    ]);
    assert_eq!(
        changes,
        [
            (1, "***".to_owned()),
            (2, "***".to_owned()),
            (4, "***".to_owned())
        ]
    );

    let many = vec!["token=x"; 9000];
    let changes = args(&many);
    assert_eq!(changes.len(), 9000);
    assert_eq!(changes[0].1, "token=***");
    assert_eq!(changes[8999].1, "***");
}

#[test]
fn a_batch_gives_the_same_verdicts_as_single_events() {
    let events = || {
        [
            event().args(["app", "--token=x"]),
            event().no_process(),
            event().args(["app", "plain"]),
            event().args(["app", "--token=x"]),
        ]
    };
    let mut plugin = Harness::<Redact>::new("{}").unwrap();
    let masked = Verdict::keep().set(Field::Arg(1), "--token=***");
    assert_eq!(
        plugin.batch(events()),
        [masked.clone(), Verdict::keep(), Verdict::keep(), masked]
    );
    for (sample, expect) in events().into_iter().zip(plugin.batch(events())) {
        let batch = plugin.make_batch([sample]);
        let event = batch.events().next().unwrap();
        assert_eq!(plugin.plugin.on_event(&event), expect);
    }
}
