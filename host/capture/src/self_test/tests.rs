use super::{attempt::EXIT, expectation::Expectation, *};
use lightmon_event::{Event, Outcome, Protocol};

pub(super) fn canary(attempts: &[&'static str]) -> SelfTest {
    SelfTest {
        attempts: ATTEMPTS
            .iter()
            .filter(|attempt| attempts.contains(&attempt.name))
            .collect(),
        skipped: Vec::new(),
        resting: VecDeque::new(),
    }
}

/// What a source that sees all reports.
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
fn all_that_was_flown_must_come_once() {
    let all = ATTEMPTS.map(|attempt| attempt.name);
    let mut expectations = canary(&all).run();
    let made = expectations.made();
    assert_eq!(
        made + expectations.skipped().len(),
        ATTEMPTS.len(),
        "{:?}",
        expectations.skipped()
    );
    assert!(
        made >= 4,
        "IPv4 is everywhere: {:?}",
        expectations.skipped()
    );
    for expectation in &expectations.expected {
        assert_ne!(expectation.source.port(), 0);
        assert!(expectation.source.ip().is_loopback(), "{expectation:?}");
    }
    assert!(!expectations.are_all_seen());
    assert_eq!(expectations.missing().len(), made);
    for expectation in expectations.clone().expected {
        assert!(expectations.saw(&right(&expectation)));
    }
    assert!(expectations.are_all_seen());
    assert_eq!(expectations.missing(), [""; 0]);
    let again = right(&expectations.expected[0]);
    assert!(expectations.saw(&again));
    let [twice] = expectations.missing().try_into().unwrap();
    assert!(twice.ends_with(" came 2 times"), "{twice}");
}

#[test]
fn what_comes_wrong_is_told() {
    let expectations = canary(&["refused TCP"]).run();
    let right = right(&expectations.expected[0]);
    let check = |wrong: Event, text: &str| {
        let mut expectations = expectations.clone();
        assert!(expectations.saw(&wrong), "{text}");
        let [missing] = expectations.missing().try_into().unwrap();
        assert!(missing.contains(text), "{missing}");
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
fn what_is_anothers_is_left_alone() {
    let mut expectations = canary(&["TCP over IPv4"]).run();
    let right = right(&expectations.expected[0]);
    let others: [fn(&mut Event); 4] = [
        |event| event.destination.set_port(1),
        |event| event.protocol = Protocol::Udp,
        |event| event.outcome = Outcome::Pending,
        // Somebody else has found the open port.
        |event| {
            event.source.set_port(1);
            event.tid += 1;
        },
    ];
    for change in others {
        let mut event = right.clone();
        change(&mut event);
        assert!(!expectations.saw(&event), "{event:?}");
    }
    assert_eq!(expectations.missing().len(), 1);
    assert!(expectations.missing()[0].ends_with(" was not seen"));
}

#[test]
fn what_a_source_can_not_see_is_not_flown() {
    let degraded = |hook: &str| Degraded {
        hook: hook.to_owned(),
        lost: "",
        reason: String::new(),
    };
    let names = |canary: &SelfTest| -> Vec<_> {
        canary.attempts.iter().map(|attempt| attempt.name).collect()
    };
    let whole = names(&SelfTest::new(&[]));
    assert!(whole.contains(&"connected UDP") && whole.contains(&"refused TCP"));
    let part = SelfTest::new(&[degraded(EXIT)]);
    assert!(!names(&part).contains(&"connected UDP"));
    assert!(
        part.skipped
            .contains(&format!("connected UDP: without {EXIT}"))
    );
    let tcp = names(&SelfTest::new(&[degraded(BTF)]));
    assert_eq!(
        tcp,
        ["TCP over IPv4", "TCP over IPv6", "TCP to a mapped address"]
    );
}

#[test]
fn no_destination_of_unconnected_udp_is_used_again_soon() {
    let mut canary = canary(&["unconnected UDP"]);
    let mut destinations: Vec<_> = (0..500)
        .map(|_| canary.run().expected[0].destination)
        .collect();
    destinations.sort();
    destinations.dedup();
    assert_eq!(destinations.len(), 500);
}
