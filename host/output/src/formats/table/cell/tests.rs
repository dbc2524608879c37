use std::sync::Arc;

use super::*;
use lightmon_event::{Container, Process};

#[test]
fn endpoints_keep_their_port() {
    let check = |address: &str, width, expected: &str| {
        assert_eq!(endpoint(address.parse().unwrap(), Some(width)), expected);
    };
    check("192.0.2.1:443", 13, "192.0.2.1:443");
    check("192.0.2.10:65535", 12, "192.0…:65535");
    check(
        "[2001:db8:85a3::8a2e:370:7334]:443",
        18,
        "[2001:db8:85…]:443",
    );
    check("[2001:db8::1]:65535", 8, "…]:65535");
    check("[2001:db8::1]:65535", 7, "…:65535");
    check("[2001:db8::1]:65535", 4, "…:65535");
    check("[::]:0", 12, "-");
    check("0.0.0.0:0", 12, "-");
}

#[test]
fn paths_keep_their_end() {
    let check = |path: &str, width, expected: &str| {
        let process = Process {
            path: Some(path.into()),
            ..Process::default()
        };
        let event = Event {
            process: Arc::new(process),
            ..Event::sample()
        };
        assert_eq!(super::process(&event, width), expected);
    };
    check("/usr/local/bin/curl", Some(9), "…bin/curl");
    check("/usr/local/bin/curl", Some(19), "/usr/local/bin/curl");
    check("/usr/local/bin/curl", None, "/usr/local/bin/curl");
    check("/a|\n", None, r"/a\x7c\n");
    check("/a|\n", Some(20), r"/a|\n");
}

#[test]
fn outcomes() {
    let check = |protocol, outcome, errno, latency, width, expected: &str| {
        let latency = Some(Duration::from_nanos(latency));
        let event = Event {
            protocol,
            outcome,
            errno,
            latency,
            ..Event::sample()
        };
        assert_eq!(super::outcome(&event, width), expected);
    };
    let tcp = Protocol::Tcp;
    check(
        tcp,
        Outcome::Established,
        None,
        1_234_000,
        Some(17),
        "established 1.2ms",
    );
    check(
        tcp,
        Outcome::Established,
        None,
        1_234_000,
        Some(16),
        "established",
    );
    check(
        tcp,
        Outcome::Refused,
        Some(111),
        312_900,
        None,
        "refused 312us",
    );
    check(
        tcp,
        Outcome::TimedOut,
        Some(110),
        130_100_000_000,
        None,
        "timed-out 130.1s",
    );
    check(
        tcp,
        Outcome::Failed,
        Some(22),
        99_999_999,
        None,
        "failed EINVAL 100ms",
    );
    check(
        tcp,
        Outcome::Failed,
        Some(4095),
        9_949_999,
        None,
        "failed 9.9ms",
    );
    check(
        Protocol::Udp,
        Outcome::Connected,
        None,
        999_499_999,
        None,
        "udp connected 999ms",
    );
    check(
        Protocol::Other(132),
        Outcome::Established,
        None,
        999_500_000,
        None,
        "132 established 1.0s",
    );
}

#[test]
fn a_pod_is_shown_with_its_namespace_and_container() {
    let check = |pod: Option<lightmon_event::Pod>, expected: &str| {
        let container = Container {
            name: Some("nginx".into()),
            pod: pod.map(Arc::new),
            ..Container::default()
        };
        let event = Event {
            container: Some(Arc::new(container)),
            ..Event::sample()
        };
        assert_eq!(super::pod(&event, None), expected);
        assert_eq!(super::container(&event, None), "nginx");
    };
    let pod = lightmon_event::Pod {
        name: "web-0".into(),
        namespace: "shop".into(),
        container: "nginx".into(),
        ..Default::default()
    };
    check(Some(pod.clone()), "shop/web-0/nginx");
    let sandbox = lightmon_event::Pod {
        container: "".into(),
        ..pod
    };
    check(Some(sandbox), "shop/web-0");
    check(None, "nginx");
}

#[test]
fn a_container_without_a_name_has_its_short_id() {
    let check = |container: Option<Container>, expected: &str| {
        let event = Event {
            container: container.map(Arc::new),
            ..Event::sample()
        };
        assert_eq!(super::container(&event, None), expected);
    };
    let nameless = Container {
        id: "3f4e8d0c5b6a79881726".into(),
        ..Container::default()
    };
    check(
        Some(Container {
            name: Some("web".into()),
            ..nameless.clone()
        }),
        "web",
    );
    check(Some(nameless), "3f4e8d0c5b6a");
    check(None, "-");
}
