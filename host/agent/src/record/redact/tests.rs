use super::*;

fn event(args: &[&str], user: &str, destination: &str) -> Event {
    let mut event = Event::sample();
    let mut process = (*event.process).clone();
    process.args = Some(args.iter().map(|arg| (*arg).into()).collect());
    process.path = Some("/home/alice/bin/tool".into());
    event.process = Arc::new(process);
    event.user = Some(user.into());
    event.destination = destination.parse().unwrap();
    event
}

fn args(args: &[&str]) -> String {
    let mut event = event(args, "root", "192.0.2.1:1");
    Redact::new(Keep::default()).redact(&mut event);
    event.process.args.as_ref().unwrap().join(" ")
}

#[test]
fn values_of_arguments_are_hidden_and_names_of_flags_are_not() {
    for (given, expected) in [
        (
            &["curl", "-s", "https://u:p@example.org/"][..],
            "curl -s ***",
        ),
        (
            &["x", "--token=abc", "--verbose", "--", "abc"],
            "x --token=*** --verbose -- ***",
        ),
        (
            &["mysql", "-psecret", "-p", "A=b", "-k=v"],
            "mysql -p*** -p *** -k***",
        ),
        (
            &["postgres: alice shop 10.0.0.1(5432) idle"],
            "postgres: ***",
        ),
        (&["/home/alice/x", "/home/alice/y"], "/home/user1/x ***"),
        (&["", ""], " ***"),
        (&["x", "-é€secret"], "x -é***"),
        (&[], ""),
    ] {
        assert_eq!(args(given), expected);
    }
}

#[test]
fn who_is_the_same_stays_the_same() {
    let mut redact = Redact::new(Keep::default());
    let mut events = [
        event(&["a"], "alice", "8.8.8.8:53"),
        event(&["a"], "root", "10.0.0.1:53"),
        event(&["a"], "bob", "[2606:4700::1]:443"),
        event(&["a"], "alice", "8.8.8.8:53"),
    ];
    for event in &mut events {
        redact.redact(event);
    }
    let seen = events
        .each_ref()
        .map(|event| format!("{} {}", event.user.as_deref().unwrap(), event.destination));
    assert_eq!(
        seen,
        [
            "user1 192.0.2.1:53",
            "root 10.0.0.1:53",
            "user2 [2001:db8::1]:443",
            "user1 192.0.2.1:53"
        ]
    );
    assert_eq!(
        events[0].process.path.as_deref(),
        Some("/home/user1/bin/tool")
    );
    assert_eq!(events[0].tags[0].1, "***");
    let container = events[0].container.as_ref().unwrap();
    assert_eq!(
        (container.name.as_deref(), container.image.as_deref()),
        (Some("container1"), Some("image1"))
    );
    assert_eq!(
        (
            container.id.len(),
            &*container.labels[0].0,
            &*container.labels[0].1
        ),
        (64, "app", "label1")
    );
}

#[test]
fn what_is_kept_is_not_touched() {
    let keep = Keep {
        args: true,
        users: true,
        containers: true,
        addresses: true,
        tags: true,
    };
    let mut redacted = event(&["a", "b=c"], "alice", "8.8.8.8:53");
    let original = redacted.clone();
    Redact::new(keep).redact(&mut redacted);
    assert_eq!(redacted, original);
}

#[test]
fn stand_ins_are_nobodys_addresses() {
    assert_eq!(ipv4(0), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(ipv4(254), Ipv4Addr::new(198, 51, 100, 1));
    assert_eq!(ipv4(761), Ipv4Addr::new(203, 0, 113, 254));
    assert_eq!(ipv4(762), Ipv4Addr::new(198, 18, 0, 1));
    assert_eq!(ipv4(762 + (1 << 17) - 3), Ipv4Addr::new(198, 19, 255, 254));
    assert_eq!(ipv4(762 + (1 << 17) - 2), Ipv4Addr::new(198, 18, 0, 1));
}
