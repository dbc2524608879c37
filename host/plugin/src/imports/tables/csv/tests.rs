use super::*;

fn error(text: &str) -> String {
    Csv::new(text.as_bytes()).err().expect("must be an error")
}

fn address(text: &str) -> u128 {
    match text.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[test]
fn the_longest_match_is_found() {
    let csv = Csv::new(
            b"\xef\xbb\xbfwhere, note ,empty\n10.0.0.0/8,ours,\n 10.1.0.0/16 ,\"a \"\"b\"\", c\",\n10.1.2.3,one,\n::/0,six,\n2001:db8::/32,doc,\n\
            Example.org,org,\nwww.example.org.,www,\n",
        )
        .unwrap();
    let note = Column::Index(csv.column("note").unwrap());
    for (ip, entry) in [
        ("10.9.9.9", Some("ours")),
        ("10.1.9.9", Some("a \"b\", c")),
        ("10.1.2.3", Some("one")),
        ("11.0.0.0", None),
        ("9.255.255.255", None),
        ("2001:db8::7", Some("doc")),
        ("2001:db9::", Some("six")),
    ] {
        assert_eq!(
            csv.find_address(address(ip), &note).as_deref(),
            entry,
            "{ip}"
        );
    }
    for (name, entry) in [
        ("example.ORG", Some("org")),
        ("mail.example.org.", Some("org")),
        ("a.WWW.example.org", Some("www")),
        ("notexample.org", None),
        ("org", None),
        ("", None),
        (".", None),
    ] {
        assert_eq!(csv.find_name(name, &note).as_deref(), entry, "{name}");
    }
    assert_eq!(
        csv.find_address(address("10.1.2.3"), &Column::All).unwrap(),
        r#"{"where":"10.1.2.3","note":"one","empty":""}"#
    );
    assert_eq!(
        csv.find_address(address("10.1.2.3"), &Column::Index(2)),
        None
    );
    assert_eq!(
        csv.column("nope").unwrap_err(),
        "no column `nope`; there are where, note, empty"
    );
}

#[test]
fn errors_name_the_line() {
    for (text, expected) in [
        ("", "is empty: its first line must name the columns"),
        ("a,,b\n", "line 1: column 2 has no name"),
        ("a,b,a\n", "line 1: two columns are called `a`"),
        (
            "a,b\n10.0.0.0/8,x\n10.0.0.0/33,x\n",
            "line 3: `10.0.0.0/33` is not an address, network or name",
        ),
        (
            "a,b\n10.0.0.1/8,x\n",
            "line 2: `10.0.0.1/8` is not a network: did you mean 10.0.0.0/8?",
        ),
        (
            "a,b\n300.1.1.1,x\n",
            "line 2: `300.1.1.1` is not an address, network or name",
        ),
        ("a,b\n,x\n", "line 2: `` is not an address, network or name"),
        ("a,b\nx.org,1\ny.org\n", "line 3: 1 fields, but 2 columns"),
        (
            "a,b\n\nx.org,1\n\r\n\n300.1.1.1,2\n",
            "line 6: `300.1.1.1` is not an address, network or name",
        ),
        ("\na,b\n\n\ny.org\n", "line 5: 1 fields, but 2 columns"),
        (
            "a,b\nx.org,1\ny.org,2\nX.org,3\n",
            "line 4: `X.org` is already on line 2",
        ),
        (
            "a\n::1\n10.0.0.0/8\n::0:1\n",
            "line 4: `::0:1` is already on line 2",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    let text = Csv::new(b"a,b\nx.org,\xff\n").err().unwrap();
    assert_eq!(text, "line 2: not UTF-8");
}
