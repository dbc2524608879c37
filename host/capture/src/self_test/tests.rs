use lightmon_event::{Event, Outcome, Protocol};

use super::{attempt::EXIT_CONNECT, expectation::Expectation, *};

/// A self-test with the attempts of these names.
pub(super) fn self_test(attempts: &[&'static str]) -> SelfTest {
    SelfTest {
        attempts: ATTEMPTS
            .iter()
            .filter(|attempt| attempts.contains(&attempt.name))
            .collect(),
        skipped: Vec::new(),
        occupied_ports: VecDeque::new(),
    }
}

/// The event that a source that works reports.
pub(super) fn right(expectation: &Expectation) -> Event {
    let (pid, tid) = expectation.ids.unwrap_or((1, 1));
    Event {
        protocol: expectation.protocol,
        source: expectation.source,
        destination: expectation.destination,
        outcome: expectation.outcome,
        errno: expectation.errno,
        pid,
        tid,
        uid: expectation.uid,
        comm: expectation.comm.clone(),
        ..Event::sample()
    }
}

#[test]
fn every_connection_must_be_seen_once() {
    let all = ATTEMPTS.map(|attempt| attempt.name);
    let mut expectations = self_test(&all).run();
    let made = expectations.made();
    assert_eq!(
        made + expectations.skipped().len(),
        ATTEMPTS.len(),
        "{:?}",
        expectations.skipped()
    );
    assert!(
        made >= 4,
        "every host has IPv4: {:?}",
        expectations.skipped()
    );
    for expectation in &expectations.expected {
        assert_ne!(expectation.source.port(), 0);
        assert!(expectation.source.ip().is_loopback(), "{expectation:?}");
    }
    assert!(!expectations.are_all_seen());
    assert_eq!(expectations.failures().len(), made);
    for expectation in expectations.clone().expected {
        assert!(expectations.observe(&right(&expectation)));
    }
    assert!(expectations.are_all_seen());
    assert_eq!(expectations.failures(), [""; 0]);
    let again = right(&expectations.expected[0]);
    assert!(expectations.observe(&again));
    let [twice] = expectations.failures().try_into().unwrap();
    assert!(twice.ends_with(" was seen 2 times"), "{twice}");
}

#[test]
fn wrong_field_is_a_failure() {
    let expectations = self_test(&["refused TCP"]).run();
    let right = right(&expectations.expected[0]);
    let check = |wrong: Event, text: &str| {
        let mut expectations = expectations.clone();
        assert!(expectations.observe(&wrong), "{text}");
        let [failure] = expectations.failures().try_into().unwrap();
        assert!(failure.contains(text), "{failure}");
    };
    let wrong = |change: fn(&mut Event)| {
        let mut event = right.clone();
        change(&mut event);
        event
    };
    check(
        wrong(|event| event.outcome = Outcome::Failed),
        "outcome is Failed instead of Refused",
    );
    check(
        wrong(|event| event.errno = None),
        "errno is None instead of Some(111)",
    );
    check(wrong(|event| event.pid += 1), "pid is ");
    check(wrong(|event| event.tid += 1), "tid is ");
    check(wrong(|event| event.uid += 1), "uid is ");
    check(
        wrong(|event| event.comm = "other".into()),
        "comm is \"other\"",
    );
    check(wrong(|event| event.source.set_port(1)), "source is ");
}

#[test]
fn connections_of_others_are_ignored() {
    let mut expectations = self_test(&["TCP over IPv4"]).run();
    let right = right(&expectations.expected[0]);
    let others: [fn(&mut Event); 4] = [
        |event| event.destination.set_port(1),
        |event| event.protocol = Protocol::Udp,
        |event| event.outcome = Outcome::Pending,
        // Another process has connected to the port.
        |event| {
            event.source.set_port(1);
            event.tid += 1;
        },
    ];
    for change in others {
        let mut event = right.clone();
        change(&mut event);
        assert!(!expectations.observe(&event), "{event:?}");
    }
    assert_eq!(expectations.failures().len(), 1);
    assert!(expectations.failures()[0].ends_with(" was not seen"));
}

#[test]
fn attempts_that_a_source_cannot_report_are_skipped() {
    let degraded = |hook: &str| Degraded {
        hook: hook.to_owned(),
        lost: "",
        reason: String::new(),
    };
    let names = |self_test: &SelfTest| -> Vec<_> {
        self_test
            .attempts
            .iter()
            .map(|attempt| attempt.name)
            .collect()
    };
    let whole = names(&SelfTest::new(&[]));
    assert!(whole.contains(&"connected UDP") && whole.contains(&"refused TCP"));
    let part = SelfTest::new(&[degraded(EXIT_CONNECT)]);
    assert!(!names(&part).contains(&"connected UDP"));
    assert!(
        part.skipped
            .contains(&format!("connected UDP: without {EXIT_CONNECT}"))
    );
    let tcp = names(&SelfTest::new(&[degraded(BTF)]));
    assert_eq!(
        tcp,
        ["TCP over IPv4", "TCP over IPv6", "TCP to a mapped address"]
    );
}

#[test]
fn destination_of_unconnected_udp_is_not_reused_soon() {
    let mut self_test = self_test(&["unconnected UDP"]);
    let mut destinations: Vec<_> = (0..500)
        .map(|_| self_test.run().expected[0].destination)
        .collect();
    destinations.sort();
    destinations.dedup();
    assert_eq!(destinations.len(), 500);
}
