//! The kernel program: whether it loads, which hooks attach, and whether the self-test passes.

use std::{thread, time::Duration};

use super::report::Check;
use lightmon_capture::{
    MAX_BATCH, Next, Source,
    ebpf::{self, Degraded, EbpfSource, Error},
    self_test::{Expectations, SelfTest},
};
use lightmon_event::{Record, Stats};
use lightmon_thread::Stop;

/// Longest time until the connections of the self-test are reported.
const SELF_TEST_TIMEOUT: Duration = Duration::from_secs(3);

const PROGRAM: &str = "kernel program";
/// The name of the self-test in `--json`.
const SELF_TEST: &str = "canary";

pub(super) fn checks(options: &ebpf::Options) -> Vec<Check> {
    match EbpfSource::open(options) {
        Ok(mut source) => {
            let mut checks = attached(&source.degraded);
            let mut expectations = SelfTest::new(&source.degraded).run();
            let listened = listen(&mut source, &mut expectations);
            checks.push(self_test(&expectations, listened));
            checks
        }
        Err(error) => not_attached(error),
    }
}

/// Returns a line for each hook, and for each other thing that the source works without.
fn attached(degraded: &[Degraded]) -> Vec<Check> {
    let mut checks = vec![Check::fine(PROGRAM, "loaded")];
    checks.extend(ebpf::hooks().map(|(hook, _)| {
        match degraded.iter().find(|degraded| degraded.hook == hook) {
            None => Check::fine(hook, "attached"),
            Some(Degraded { reason, lost, .. }) => Check::degraded(hook, reason, *lost),
        }
    }));
    // BTF has a line of its own.
    let others = degraded.iter().filter(|degraded| {
        degraded.hook != "BTF" && ebpf::hooks().all(|(hook, _)| hook != degraded.hook)
    });
    checks
        .extend(others.map(|Degraded { hook, reason, lost }| Check::degraded(hook, reason, *lost)));
    checks
}

fn not_attached(error: Error) -> Vec<Check> {
    let (program, refused) = match error {
        Error::Attach(refused) => (Check::fine(PROGRAM, "loaded"), Some(refused)),
        Error::OldKernel { .. } | Error::NotAllowed | Error::NoTracefs { .. } => {
            (Check::unknown(PROGRAM, "not tried, see above"), None)
        }
        error => {
            let found = format!("{:#}", anyhow::Error::from(error));
            let todo = "see the lines above; if all are fine, report this as a bug";
            (Check::missing(PROGRAM, found, todo), None)
        }
    };
    let mut checks = vec![program];
    checks.extend(ebpf::hooks().map(|(hook, _)| match &refused {
        Some(Degraded {
            hook: name,
            reason,
            lost,
        }) if *name == hook => Check {
            lost: Some((*lost).to_owned()),
            ..Check::missing(
                hook,
                reason,
                "use a kernel with this hook; lightmon requires it",
            )
        },
        Some(_) => Check::unknown(hook, "not attached, because another hook is missing"),
        None => Check::unknown(hook, "not tried"),
    }));
    checks.push(Check::unknown(
        SELF_TEST,
        "self-test not run: no hook is attached",
    ));
    checks
}

/// Reads the source until it has reported all connections of the self-test, or the timeout ends. Then reads what is left, so that
/// duplicates are found.
fn listen(source: &mut impl Source, expectations: &mut Expectations) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let stop_too = stop.clone();
    // A source that reports nothing returns only when it is stopped.
    thread::spawn(move || {
        thread::sleep(SELF_TEST_TIMEOUT);
        stop_too.set();
    });
    let (mut records, stats) = (Vec::new(), Stats::default());
    loop {
        let next = source.next(&mut records, MAX_BATCH, &stop, &stats)?;
        for record in records.drain(..) {
            if let Record::Connection(event) | Record::FromSelf(event) = record {
                expectations.observe(&event);
            }
        }
        if next == Next::End {
            return Ok(());
        }
        if expectations.are_all_seen() {
            stop.set();
        }
    }
}

fn self_test(expectations: &Expectations, listened: anyhow::Result<()>) -> Check {
    const TODO: &str = "do not rely on lightmon with this kernel; report this as a bug";
    let missing = expectations.failures();
    let skipped = match expectations.skipped() {
        [] => String::new(),
        skipped => format!("; not tested: {}", skipped.join(", ")),
    };
    let made = expectations.made();
    match listened {
        Err(error) => Check::missing(SELF_TEST, format!("{error:#}"), TODO),
        Ok(()) if !missing.is_empty() => Check::missing(SELF_TEST, missing.join("; "), TODO),
        Ok(()) if made == 0 => {
            Check::unknown(SELF_TEST, format!("self-test made no connection{skipped}"))
        }
        Ok(()) => Check::fine(
            SELF_TEST,
            format!(
                "self-test passed: {made} connections over loopback reported correctly{skipped}"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{super::report::State, *};
    use lightmon_event::Event;

    fn degraded(hook: &str) -> Degraded {
        Degraded {
            hook: hook.to_owned(),
            lost: "this",
            reason: "so".to_owned(),
        }
    }

    fn states(checks: &[Check]) -> Vec<State> {
        checks.iter().map(|check| check.state).collect()
    }

    #[test]
    fn each_hook_has_a_line() {
        use State::{Degraded, Fine};
        let hooks: Vec<_> = ebpf::hooks().map(|(hook, _)| hook).collect();
        let checks = attached(&[]);
        assert_eq!(states(&checks), vec![Fine; hooks.len() + 1]);
        let checks = attached(&[degraded(&hooks[1]), degraded("BTF"), degraded("new")]);
        let mut expected = vec![Fine; hooks.len() + 1];
        expected[2] = Degraded;
        expected.push(Degraded);
        assert_eq!(states(&checks), expected);
        assert_eq!(checks[2], Check::degraded(&hooks[1], "so", "this"));
    }

    #[test]
    fn checks_after_an_error_are_unknown() {
        let hooks: Vec<_> = ebpf::hooks().map(|(hook, _)| hook).collect();
        let checks = not_attached(Error::NotAllowed);
        assert_eq!(states(&checks), vec![State::Unknown; hooks.len() + 2]);

        let checks = not_attached(Error::Part("map RECORDS"));
        assert_eq!(checks[0].state, State::Missing);
        assert!(checks[0].found.contains("RECORDS"), "{checks:?}");
        assert!(
            states(&checks[1..])
                .iter()
                .all(|state| *state == State::Unknown)
        );

        let checks = not_attached(Error::Attach(degraded(&hooks[0])));
        assert_eq!(
            states(&checks)[..3],
            [State::Fine, State::Missing, State::Unknown]
        );
        assert_eq!(checks[1].lost.as_deref(), Some("this"));
    }

    /// Returns the given events, then waits until it is stopped.
    struct Fake(Vec<Event>);

    impl Source for Fake {
        fn next(
            &mut self,
            batch: &mut Vec<Record>,
            _: usize,
            stop: &Stop,
            _: &Stats,
        ) -> anyhow::Result<Next> {
            batch.extend(self.0.drain(..).map(Record::FromSelf));
            while batch.is_empty() && !stop.is_set() {
                thread::yield_now();
            }
            Ok(if stop.is_set() { Next::End } else { Next::More })
        }
    }

    #[test]
    fn a_source_that_reports_nothing_fails_after_the_timeout() {
        let mut expectations = SelfTest::new(&[]).run();
        let begun = Instant::now();
        listen(&mut Fake(vec![Event::sample()]), &mut expectations).unwrap();
        assert!(begun.elapsed() >= SELF_TEST_TIMEOUT);
        let check = self_test(&expectations, Ok(()));
        assert_eq!(check.state, State::Missing);
        assert!(check.found.contains("was not seen"), "{check:?}");
    }

    #[test]
    fn an_error_of_the_source_fails_the_self_test() {
        let expectations = SelfTest::new(&[]).run();
        let check = self_test(&expectations, Err(anyhow::anyhow!("gone")));
        assert_eq!((check.state, &*check.found), (State::Missing, "gone"));
    }
}
