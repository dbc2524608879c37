use super::*;
use lightmon_output::Format;

fn parse(args: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from(go_style(
        ["lightmon"].iter().chain(args).map(OsString::from),
    ))
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn the_originals_spellings_are_accepted() {
    for args in [
        &[
            "-exclude",
            "dport=80",
            "-output",
            "json",
            "-v6",
            "-k8s",
            "-log_path",
            "/tmp/x",
        ][..],
        &[
            "-exclude=dport=80",
            "-output=json",
            "--v6",
            "--k8s",
            "-log_path=/tmp/x",
        ],
        &[
            "--exclude",
            "dport=80",
            "-f",
            "json",
            "-v6",
            "-k8s",
            "--log-path=/tmp/x",
        ],
    ] {
        let args = parse(args).unwrap().flags;
        assert_eq!(args.exclude, ["dport=80"]);
        assert_eq!(args.format, Some(Format::Json));
        assert!(args.v6 && args.k8s);
        assert_eq!(args.log_path, Some("/tmp/x".into()));
    }
    assert_eq!(
        parse(&["-f", "logfile"]).unwrap().flags.format,
        Some(Format::Log)
    );
    assert_eq!(
        parse(&[
            "-docker_runtime",
            "/a",
            "-docker_data=/b",
            "-ebpf_type",
            "1"
        ])
        .unwrap()
        .flags
        .ebpf_type,
        Some(1)
    );
    assert!(matches!(
        parse(&["doctor", "-json", "-docker-host=/x"])
            .unwrap()
            .command,
        Some(Command::Doctor(_))
    ));
    assert_eq!(
        parse(&["-exclude", "doctor"]).unwrap().flags.exclude,
        ["doctor"]
    );
    assert!(parse(&["-f", "json", "doctor"]).is_err());
    assert!(parse(&["-f", "xml"]).is_err());
    assert!(parse(&["-exclud", "x"]).is_err());
}
