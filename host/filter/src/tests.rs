use std::sync::atomic::Ordering::Relaxed;

use lightmon_event::{Event, Stats};

use crate::{Exclude, Expr};

fn error(text: &str) -> String {
    text.parse::<Expr>().expect_err(text).to_string()
}

fn sample_to(port: u16) -> Event {
    let mut event = Event::sample();
    event.destination.set_port(port);
    event
}

#[test]
fn retain_removes_counts_and_keeps_the_order() {
    let exclude = Exclude::parse(["dport=2", "", "dport=4;dport=5"]).unwrap();
    let stats = Stats::default();
    let mut batch: Vec<Event> = (1..=6).map(sample_to).collect();
    exclude.retain(&mut batch, &stats);
    let ports: Vec<u16> = batch.iter().map(|event| event.destination.port()).collect();
    assert_eq!(ports, [1, 3, 6]);
    assert_eq!(stats.excluded_host.load(Relaxed), 3);
    exclude.retain(&mut batch, &stats);
    assert_eq!((batch.len(), stats.excluded_host.load(Relaxed)), (3, 3));
}

#[test]
fn blank_expressions_exclude_nothing() {
    for texts in [&[][..], &[""], &[" ", ";"]] {
        let exclude = Exclude::parse(texts).unwrap();
        assert!(exclude.is_empty());
        assert!(!exclude.matches(&Event::sample()));
    }
    assert!(!Exclude::parse(["", "dport=80"]).unwrap().is_empty());
    assert!(Exclude::default().is_empty());
}

#[test]
fn one_bad_expression_is_an_error() {
    let error = Exclude::parse(["dport=80", "dport=81,82"]).unwrap_err();
    insta::assert_snapshot!(error, @r#"
        exclude expression: lists are not in the language (yet)
          dport=81,82
                  ^ expected `&&`, `||`, `;` or the end
        "#);
}

#[test]
fn column_counts_characters() {
    insta::assert_snapshot!(error("keyword='日本é' && dprot=80"), @r#"
        exclude expression: unknown key
          keyword='日本é' && dprot=80
                           ^^^^^ did you mean dport?
        "#);
}

#[test]
fn control_characters_are_escaped() {
    insta::assert_snapshot!(error("keyword='\u{1b}[2J\n\u{202e}\\'\n&& dport=\u{7}"), @r#"
        exclude expression: not a port
          keyword='\u{1b}[2J\n\u{202e}\'\n&& dport=\u{7}
                                                   ^^^^^ expected a port, 0 to 65535
        "#);
}

#[test]
fn a_long_expression_is_cut_around_the_place() {
    let conditions = "dip=10.0.0.1 && dport=443; ".repeat(1000);
    insta::assert_snapshot!(error(&format!("{conditions}dprot=80; {conditions}")), @r#"
        exclude expression: unknown key
          …43; dip=10.0.0.1 && dport=443; dprot=80; dip=10.0.0.1 &…
                                          ^^^^^ did you mean dport?
        "#);
    insta::assert_snapshot!(error(&format!("{conditions}dip={}; {conditions}", "x".repeat(100))), @r#"
        exclude expression: not an address
          …dip=10.0.0.1 && dport=443; dip=xxxxxxxxxxxxxxxxxxxxxxx…; dip=10.0.0.1 && d…
                                          ^^^^^^^^^^^^^^^^^^^^^^^^
          expected an address or a network, such as 10.0.0.0/8
        "#);
    insta::assert_snapshot!(error(&format!("{conditions} dport")), @r#"
        exclude expression: `=` missing
          …p=10.0.0.1 && dport=443;  dport
                                          ^ expected `=` and a value
        "#);
}

/// The manual page: its examples are read, its errors are what is printed.
#[test]
fn the_examples_of_the_manual_are_right() {
    let document = include_str!("../../docs/filters.md");
    let mut blocks = document.split("```text\n").skip(1).map(|block| {
        let (block, _) = block.split_once("\n```").expect("a closed block");
        block
    });
    let operators = blocks.next().expect("operators");
    let examples = blocks.next().expect("examples");
    for line in operators.lines().chain(examples.lines()) {
        let text = line.split("      ").next().expect("a first part");
        let expr: Expr = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert!(!expr.is_empty());
    }
    let errors: Vec<&str> = document
        .split("lightmon: ")
        .filter(|text| text.starts_with("exclude expression: "))
        .map(|text| text.split("\n\n").next().expect("a first part"))
        .collect();
    assert_eq!(errors.len(), 2);
    for message in errors {
        let text = message.lines().nth(1).expect("the expression");
        assert_eq!(error(text.trim()), message);
    }
}
