//! Each way in which a container can connect, with Docker and with Podman. Each event has the name of its container.

use std::collections::HashSet;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    dockerd::{Dockerd, IMAGE, Kind},
    lightmon::{Lightmon, command},
    turn,
};

/// Containers that run one command, one after the other.
const SHORT_LIVED: usize = 200;

/// Containers that start at once.
const AT_ONCE: usize = 50;

/// Connects to port 9 of the address, where nobody listens, so the connection is refused.
fn connect(address: &str) -> String {
    format!("nc -w 5 {address} 9; true")
}

struct Matrix {
    engine: Dockerd,
    lightmon: Lightmon,
    runtime: &'static str,
}

impl Matrix {
    /// With a container `early` that started before lightmon.
    fn start(kind: Kind) -> Self {
        let engine = Dockerd::start_kind(kind);
        engine.docker(&[
            "run", "-d", "--net", "none", "--name", "early", IMAGE, "sleep", "1000",
        ]);
        let mut command = command(&["-f", "json", "--docker-host", &engine.host()]);
        command.env("RUST_LOG", "info,lightmon_identity::container=debug");
        let lightmon = Lightmon::start_command(command);
        Self {
            engine,
            lightmon,
            runtime: match kind {
                Kind::Docker => "docker",
                Kind::Podman => "podman",
            },
        }
    }

    /// The connection to that address, which must be of that container.
    #[track_caller]
    fn expect(&self, address: &str, name: &str) -> Value {
        let event = self.lightmon.event_to(address, 9);
        assert_eq!(event["container"], name, "{event}");
        assert_eq!(event["containerRuntime"], self.runtime, "{event}");
        event
    }

    /// Connects from a container that runs already.
    #[track_caller]
    fn exec(&self, name: &str, address: &str) -> Value {
        self.engine
            .docker(&["exec", name, "sh", "-c", &connect(address)]);
        self.expect(address, name)
    }

    fn all(mut self) {
        // The daemon is asked as soon as lightmon runs, and answers when it likes.
        self.eventually("early", "127.0.14.1", &["", "early"]);
        let early = self.exec("early", "127.0.14.1");
        let image = early["containerImage"].as_str().unwrap();
        assert!(image.contains(IMAGE.split(':').next().unwrap()), "{early}");

        // With the network of another container, of the host, and a network of its own.
        for (name, network, address) in [
            ("guest", "container:early", "127.0.14.2"),
            ("host", "host", "127.0.14.3"),
            ("late", "none", "127.0.14.4"),
        ] {
            let command = format!("{}; sleep 1000", connect(address));
            self.engine.docker(&[
                "run", "-d", "--net", network, "--name", name, IMAGE, "sh", "-c", &command,
            ]);
            self.expect(address, name);
            self.exec(name, "127.0.14.5");
        }
        self.exec("early", "127.0.14.6");

        // A name that is given anew, and then to another one.
        self.engine.docker(&["rename", "late", "later"]);
        self.eventually("later", "127.0.14.7", &["late", "later"]);
        self.engine.docker(&["rm", "-f", "later"]);
        self.engine.docker(&[
            "run", "-d", "--net", "none", "--name", "late", IMAGE, "sleep", "1000",
        ]);
        self.exec("late", "127.0.14.8");

        self.short_lived();
        self.at_once();

        // The daemon restarts; meanwhile no event has a wrong name.
        self.engine.crash();
        self.engine.docker(&[
            "run", "-d", "--net", "none", "--name", "after", IMAGE, "sleep", "1000",
        ]);
        self.eventually("after", "127.0.14.9", &["", "after"]);
        let ended = self.lightmon.stop(Signal::SIGTERM);
        let balance = ended.balance();
        assert_eq!(balance.seen, balance.written, "{:?}", ended.messages);
        assert!(ended.status.success());
    }

    /// Until lightmon has heard of it; the name is one of these at any time.
    #[track_caller]
    fn eventually(&self, name: &str, address: &str, names: &[&str]) {
        let is_known = (0..100).any(|_| {
            self.engine
                .docker(&["exec", name, "sh", "-c", &connect(address)]);
            let event = self.lightmon.event_to(address, 9);
            let said = event["container"].as_str().unwrap().to_owned();
            assert!(names.contains(&&*said), "{event}");
            said == name
        });
        assert!(is_known, "never called {name}");
    }

    fn short_lived(&self) {
        for i in 0..SHORT_LIVED {
            let (name, address) = (format!("once-{i}"), format!("127.0.15.{}", i + 1));
            let run = ["run", "--rm", "--net", "none", "--name", &name, IMAGE];
            let command = ["sh", "-c", &connect(&address)];
            self.engine.docker(&[&run[..], &command].concat());
            self.expect(&address, &name);
        }
    }

    fn at_once(&self) {
        let name = |i: usize| format!("swarm-{i}");
        let engine = &self.engine;
        std::thread::scope(|scope| {
            for lane in 0..5 {
                scope.spawn(move || {
                    for i in (lane..AT_ONCE).step_by(5) {
                        let command = format!("{}; sleep 1000", connect("127.0.16.1"));
                        engine.docker(&[
                            "run",
                            "-d",
                            "--net",
                            "none",
                            "--name",
                            &name(i),
                            IMAGE,
                            "sh",
                            "-c",
                            &command,
                        ]);
                    }
                });
            }
        });
        let mut missing: HashSet<_> = (0..AT_ONCE).map(name).collect();
        for _ in 0..AT_ONCE {
            let event = self.lightmon.event_to("127.0.16.1", 9);
            let is_named = missing.remove(event["container"].as_str().unwrap());
            assert!(is_named, "{event}: {:#?}", self.lightmon.messages());
        }
    }
}

#[test]
#[ignore = "needs root and dockerd: make test runs it"]
fn docker() {
    let _turn = turn::wait();
    Matrix::start(Kind::Docker).all();
}

#[test]
#[ignore = "needs root and podman: make test runs it"]
fn podman() {
    let _turn = turn::wait();
    Matrix::start(Kind::Podman).all();
}
