use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::expr::{MAX_PID, MAX_UID};

fn read(text: &str) -> Expr {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Parses the text and compares it with the text of the result.
fn check(text: &str, expected: &str) {
    assert_eq!(read(text).to_string(), expected, "{text}");
}

#[test]
fn blank() {
    for text in ["", " ", "\t\n", ";", " ; ;; "] {
        check(text, "");
    }
}

#[test]
fn space_is_free() {
    check(
        "dport=80&&dip=10.0.0.1||dport=81;dport=82",
        "dport=80 && dip=10.0.0.1 || dport=81 || dport=82",
    );
    check(
        "\n dport = 80\n&& dip\t=\t'10.0.0.1' ;\n",
        "dport=80 && dip=10.0.0.1",
    );
    check("dport\u{a0}=\u{3000}80", "dport=80");
    check(";;dport=80;;dport=81;", "dport=80 || dport=81");
}

#[test]
fn ports() {
    check("dport=0", "dport=0");
    check("dport='65535'", "dport=65535");
    check("dport=0000080", "dport=80");
}

#[test]
fn networks() {
    check("dip=192.168.1.5/24", "dip=192.168.1.0/24");
    check("dip=10.0.0.1/32", "dip=10.0.0.1");
    check("dip=0:0:0:0:0:0:0:1", "dip=::1");
    check("dip=FD00::1/8", "dip=fd00::/8");
    check("dip=::ffff:10.0.0.1", "dip=10.0.0.1");
    check("dip=::ffff:10.1.0.0/104", "dip=10.0.0.0/8");
    check("dip=::ffff:0:0/96", "dip=0.0.0.0/0");
    check("dip=::ffff:0:0/95", "dip=::fffe:0:0/95");
    check("dip=0.0.0.0/0;dip=::/0", "dip=0.0.0.0/0 || dip=::/0");
}

#[test]
fn texts() {
    check("keyword=/usr/bin/x", "keyword=\"/usr/bin/x\"");
    check("keyword=--a=b", "keyword=\"--a=b\"");
    check(r"keyword=a\", r#"keyword="a\""#);
    check("keyword='say \"hi\"'", "keyword='say \"hi\"'");
    check("keyword=\"it's\"", "keyword=\"it's\"");
    check("keyword=' ; && || = ( , '", "keyword=\" ; && || = ( , \"");
    check("container=[a]{b}*?", "container=\"[a]{b}*?\"");
    check("container=日本-é", "container=\"日本-é\"");
}

#[test]
fn nearest_key() {
    for (word, key) in [
        ("dprot", Some(Key::Dport)),
        ("DPORT", Some(Key::Dport)),
        ("port", Some(Key::Dport)),
        ("ip", Some(Key::Dip)),
        ("keywords", Some(Key::Keyword)),
        ("contianer", Some(Key::Container)),
        ("conatiner", Some(Key::Container)),
        ("x", None),
        ("user_id", None),
        ("gid", Some(Key::Uid)),
        ("ppid", Some(Key::Pid)),
        ("proto", Some(Key::Protocol)),
        ("dst", None),
        ("host", None),
        ("containercontainercontainer", None),
    ] {
        assert_eq!(nearest(word), key, "{word}");
    }
    assert_eq!(nearest(&"dport".repeat(1_000_000)), None);
}

#[test]
fn errors() {
    let texts = [
        // Conditions and operators
        "&&",
        "||",
        ";&&",
        "dport=80 ||",
        "dport=80 || ; dport=81",
        "dport=80 && && dport=81",
        "dport=80 &&& dport=81",
        "dport=80 & dip=10.0.0.1",
        "dport=80|dport=81",
        "dport=80 dport=81",
        "dport=80 and dip=10.0.0.1",
        "keyword=my app",
        "keyword='a'b",
        "'dport=80'",
        "dip='10.0.0.1', dport=80",
        // Not in the language
        "dport!=80",
        "dport==80",
        "dport>=1024",
        "dport =~ 80",
        "!dport=80",
        "(dport=80)",
        "dport=80)",
        "dport=(80)",
        "dport=80,443",
        "keyword=[a,b]",
        "dport in 80",
        "keyword=a!b",
        // Keys
        "Dport=80",
        "dst=10.0.0.1",
        "é=1",
        "dport&&dip=10.0.0.1",
        // Values
        "dport= && dip=10.0.0.1",
        "dport=''",
        "dport=65536",
        "dport=+80",
        "dport=' 80'",
        "dport=http",
        "dport=²",
        "dip=",
        "dip=\"\"",
        "dip='nonsense'",
        "dip=10.0.0.0/",
        "dip=10.0.0.0/x",
        "dip=10.0.0.0/+8",
        "dip=10.0.0.0/255.0.0.0",
        "dip=::/129",
        "dip=/8",
        "dip=fe80::1%eth0",
        "dip=[::1]",
        "dip=010.0.0.1",
        "dip=10.0.0.0/8/8",
        "protocol=",
        "protocol=sctp",
        "protocol=TCP",
        "protocol=6",
        "protocol=tcp,udp",
        "uid=root",
        "uid=4294967295",
        "uid=-1",
        "pid=0",
        "pid=4194305",
        "pid=''",
        "pid>1",
        "gid=0",
        // Quotes
        "keyword=\"",
        "keyword='a\" && dport=80",
        "keyword=it's",
        "container=\"\"",
        "keyword=“a”",
        "dip=“::1”",
        "dport=8\"0\"",
        "dport=80 “",
        "keyword= =x",
        "keyword = ~x",
        "dport~80",
        "dport 80",
        "nginx",
        "dport=80;;=",
        "a\u{301}b=1",
    ];
    let errors = texts.map(|text| {
        let Fault {
            span,
            problem,
            expected,
        } = expr(text).expect_err(text);
        let (before, after) = (&text[..span.start], &text[span.end..]);
        format!("{before}⟦{}⟧{after}: {problem}, {expected}", &text[span])
    });
    insta::assert_snapshot!(errors.join("\n"), @r#"
        ⟦&&⟧: condition missing, expected a condition, such as dport=80
        ⟦||⟧: condition missing, expected a condition, such as dport=80
        ;⟦&&⟧: condition missing, expected a condition, such as dport=80
        dport=80 ||⟦⟧: condition missing, expected a condition, such as dport=80
        dport=80 || ⟦;⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 && ⟦&&⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 &&⟦&⟧ dport=81: condition missing, expected a condition, such as dport=80
        dport=80 ⟦&⟧ dip=10.0.0.1: single `&`, expected `&&`, `||`, `;` or the end
        dport=80⟦|⟧dport=81: single `|`, expected `&&`, `||`, `;` or the end
        dport=80 ⟦dport=81⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        dport=80 ⟦and⟧ dip=10.0.0.1: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        keyword=my ⟦app⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        keyword='a'⟦b⟧: operator missing, expected `&&`, `||` or `;`, or quotes around a value with spaces
        ⟦'⟧dport=80': key missing, expected dport, dip, protocol, uid, pid, keyword or container
        dip='10.0.0.1'⟦,⟧ dport=80: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        dport⟦!=⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport⟦==⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport⟦>=⟧1024: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport ⟦=~⟧ 80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        ⟦!⟧dport=80: negations are not in the language (yet), expected a condition, such as dport=80
        ⟦(⟧dport=80): parentheses are not in the language (yet), expected a condition, such as dport=80
        dport=80⟦)⟧: parentheses are not in the language (yet), expected `&&`, `||`, `;` or the end
        dport=⟦(⟧80): parentheses are not in the language (yet), expected a port, 0 to 65535
        dport=80⟦,⟧443: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        keyword=[a⟦,⟧b]: lists are not in the language (yet), expected quotes around the value if `,` is part of it
        dport ⟦in⟧ 80: `=` missing, expected `=` and a value
        keyword=a⟦!⟧b: comparisons other than `=` are not in the language (yet), expected quotes around the value if `!` is part of it
        ⟦Dport⟧=80: unknown key, did you mean dport?
        ⟦dst⟧=10.0.0.1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        ⟦é⟧=1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        dport⟦&&⟧dip=10.0.0.1: `=` missing, expected `=` and a value
        dport= ⟦&&⟧ dip=10.0.0.1: value missing, expected a port, 0 to 65535
        dport=⟦''⟧: value missing, expected a port, 0 to 65535
        dport=⟦65536⟧: port out of range, expected a port, 0 to 65535
        dport=⟦+80⟧: not a port, expected a port, 0 to 65535
        dport='⟦ 80⟧': not a port, expected a port, 0 to 65535
        dport=⟦http⟧: not a port, expected a port, 0 to 65535
        dport=⟦²⟧: not a port, expected a port, 0 to 65535
        dip=⟦⟧: value missing, expected an address or a network, such as 10.0.0.0/8
        dip=⟦""⟧: value missing, expected an address or a network, such as 10.0.0.0/8
        dip='⟦nonsense⟧': not an address, expected an address or a network, such as 10.0.0.0/8
        dip=10.0.0.0/⟦⟧: prefix length missing, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦x⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦+8⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=10.0.0.0/⟦255.0.0.0⟧: not a prefix length, expected a prefix length, 0 to 32
        dip=::/⟦129⟧: prefix length out of range, expected a prefix length, 0 to 128
        dip=⟦/⟧8: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦fe80::1%eth0⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦[::1]⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=⟦010.0.0.1⟧: not an address, expected an address or a network, such as 10.0.0.0/8
        dip=10.0.0.0/⟦8/8⟧: not a prefix length, expected a prefix length, 0 to 32
        protocol=⟦⟧: value missing, expected tcp or udp
        protocol=⟦sctp⟧: not a protocol, expected tcp or udp
        protocol=⟦TCP⟧: not a protocol, expected tcp or udp
        protocol=⟦6⟧: not a protocol, expected tcp or udp
        protocol=tcp⟦,⟧udp: lists are not in the language (yet), expected `&&`, `||`, `;` or the end
        uid=⟦root⟧: not a user id, expected a user id, 0 to 4294967294
        uid=⟦4294967295⟧: user id out of range, expected a user id, 0 to 4294967294
        uid=⟦-1⟧: not a user id, expected a user id, 0 to 4294967294
        pid=⟦0⟧: process id out of range, expected a process id, 1 to 4194304
        pid=⟦4194305⟧: process id out of range, expected a process id, 1 to 4194304
        pid=⟦''⟧: value missing, expected a process id, 1 to 4194304
        pid⟦>⟧1: comparisons other than `=` are not in the language (yet), expected `=` and a value
        ⟦gid⟧=0: unknown key, did you mean uid?
        keyword=⟦"⟧: quote not closed, expected another " behind the value
        keyword=⟦'⟧a" && dport=80: quote not closed, expected another ' behind the value
        keyword=it⟦'⟧s: quote in the wrong place, expected quotes around the value if `'` is part of it
        container=⟦""⟧: empty text would exclude everything, expected a part of the name, such as "nginx"
        keyword=⟦“⟧a”: typographic quote, expected ' or "
        dip=⟦“⟧::1”: typographic quote, expected ' or "
        dport=8⟦"⟧0": quote in the wrong place, expected `&&`, `||`, `;` or the end
        dport=80 ⟦“⟧: typographic quote, expected `&&`, `||`, `;` or the end
        keyword= ⟦=⟧x: comparisons other than `=` are not in the language (yet), expected a part of the name, such as "nginx"
        keyword = ⟦~⟧x: comparisons other than `=` are not in the language (yet), expected a part of the name, such as "nginx"
        dport⟦~⟧80: comparisons other than `=` are not in the language (yet), expected `=` and a value
        dport ⟦80⟧: `=` missing, expected `=` and a value
        ⟦nginx⟧: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        dport=80;;⟦=⟧: key missing, expected dport, dip, protocol, uid, pid, keyword or container
        ⟦áb⟧=1: unknown key, expected dport, dip, protocol, uid, pid, keyword or container
        "#);
}

#[test]
fn a_megabyte_is_fine() {
    let many = "dport=80 && keyword='x' || dip=10.0.0.0/8; ".repeat(25_000);
    assert_eq!(read(&many).0.len(), 50_000);
    let long = format!("keyword='{}'", "é".repeat(500_000));
    assert_eq!(read(&long).to_string().len(), 1_000_010);
    for part in [
        ";",
        " ",
        "&&",
        "(",
        "'",
        "=",
        "dport",
        "dport=",
        "dport=80&&",
        "é",
        "\u{1b}",
    ] {
        let text = part.repeat(200_000 / part.len());
        if let Err(error) = text.parse::<Expr>() {
            assert!(error.to_string().len() < 1000, "{part}");
        }
    }
}

prop_compose! {
    /// Text that is an expression, or nearly one.
    fn soup()(parts in prop::collection::vec(prop_oneof![
        prop::sample::select(vec![
            "dport", "dip", "protocol", "uid", "pid", "keyword", "container", "=", "80", "udp", "10.0.0.0/8", "::ffff:1.2.3.4/97", "&&", "||", ";", " ",
            "'", "\"", "'x;y'", "&", "|", "(", ",", "!", "é", "“", "\n", "\u{1b}[31m", "\u{202e}", "dport=80", "dip=::1",
        ]).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ], 0..12)) -> String {
        parts.concat()
    }
}

prop_compose! {
    fn condition()(kind in 0..7, port: u16, address: IpAddr, uid in 0..=MAX_UID, pid in 1..=MAX_PID, length in 0_u8..=128, text in "[^']{1,20}") -> String {
        match kind {
            0 => format!("dport={port}"),
            1 if length.is_multiple_of(2) => format!("dip={address}"),
            1 => format!("dip={address}/{}", if address.is_ipv4() { length / 4 } else { length }),
            2 => format!("protocol={}", if length < 64 { "tcp" } else { "udp" }),
            3 => format!("uid={uid}"),
            4 => format!("pid={pid}"),
            5 => format!("keyword='{text}'"),
            _ => format!("container='{text}'"),
        }
    }
}

prop_compose! {
    fn expression()(
        parts in prop::collection::vec((condition(), prop::sample::select(vec!["&&", " || ", ";"])), 0..8),
        last in condition(),
    ) -> String {
        parts.into_iter().map(|(condition, operator)| condition + operator).collect::<String>() + &last
    }
}

/// The lines of an error are short, and the mark is below the first character of the faulty part.
fn check_error(text: &str) {
    let Err(error) = text.parse::<Expr>() else {
        return;
    };
    let error = error.to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert!((3..=4).contains(&lines.len()), "{error}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{error}"
    );
    assert!(
        !error.chars().any(|c| c.is_control() && c != '\n'),
        "{error:?}"
    );
    let place = expr(text).unwrap_err().span.start;
    let column = lines[2].find('^').expect("a mark");
    match text[place..].chars().next() {
        Some(c) if c.is_ascii_graphic() => {
            assert_eq!(lines[1].chars().nth(column), Some(c), "{error}");
        }
        Some(_) => assert!(column < lines[1].chars().count(), "{error}"),
        None => assert_eq!(column, lines[1].chars().count(), "{error}"),
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), soup in soup(), repeat in 1_usize..20) {
        check_error(&text);
        check_error(&soup);
        check_error(&soup.repeat(repeat));
    }

    #[test]
    fn reads_back_what_it_writes(text in expression(), soup in soup()) {
        let expr = read(&text);
        prop_assert_eq!(&read(&expr.to_string()), &expr);
        if let Ok(expr) = soup.parse::<Expr>() {
            prop_assert_eq!(&read(&expr.to_string()), &expr);
        }
    }
}
