//! An event as a line of the log: the original lightmon's keys first, in its order, then new keys.
//! Is not complete; the `json` format is.
//!
//! ```json
//! {"conatiner":"web-server","dip":"93.184.215.14","dport":"443","ipv6":0,"level":"info","msg":"","pid":"1234",
//!  "procArgs":"-s https://example.org/","procPath":"/usr/bin/curl","time":"2026-11-23T23:04:05+08:00","user":"root",
//!  "container":"web-server","sip":"192.168.1.100","sport":"34567","comm":"curl","protocol":"tcp",
//!  "outcome":"established","latencyNs":1234000,"id":"ca3fe49eac8-4d3","containerId":"3f4e8d0c5b6a…","tags":{"country":"US"}}
//! ```
//!
//! The original's keys are always there, with the original's types. `conatiner` (the original's spelling, which users parse)
//! and `container` are the container's name, `""` without a container or if the name is not known. `procArgs` has the arguments
//! without the program's name. `procPath` and `procArgs` are `""` if not known. `user` is the uid if the user has no name, `""` if not
//! known. `error` (`ECONNREFUSED`), `latencyNs`, `containerId` and `tags` are absent if there are none. So is `labels`, which has the
//! labels chosen with `--label`, of the container or else of its pod: `"labels":{"app":"web"}`.
//!
//! A notice has the original's keys too. Those of an event are empty, `msg` has the text, and the keys of the `json` format follow:
//!
//! ```json
//! {"conatiner":"","dip":"","dport":"","ipv6":0,"level":"warning","msg":"lost 12 connections: the kernel's buffer was full",
//!  "pid":"","procArgs":"","procPath":"","time":"2026-11-23T23:04:06+08:00","user":"","notice":"lost",
//!  "since":"2026-11-23T23:04:05+08:00","until":"2026-11-23T23:04:06+08:00","where":"kernel","connections":12,"processes":0}
//! ```

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::{
    fragments::Fragments,
    number::Quoted,
    object::{Object, Value, Word, key},
    time::{Time, Times},
    words::{OutcomeWord, ProtocolName},
};
use crate::{Container, ErrorName, Event, Notice, Process, escape};

/// Writes events as lines. Caches what successive lines have in common.
#[derive(Debug)]
pub struct Lines {
    times: Times,
    processes: Fragments<Process, ()>,
    /// The keys of the container labels that are in the lines.
    pub labels: Vec<String>,
}

impl Lines {
    /// Lines whose times are in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self {
            times: Times::new(zone, 0),
            processes: Fragments::default(),
            labels: Vec::new(),
        }
    }

    /// The zone of the times.
    pub fn zone(&self) -> &TimeZone {
        &self.times.zone
    }

    /// Appends the event and a newline.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let container = event.container.as_deref();
        let name = container
            .and_then(|it| it.name.as_deref())
            .unwrap_or_default();
        let mut line = Object::begin(out);
        line.put(key!("conatiner"), name);
        line.put(key!("dip"), event.destination.ip());
        line.put(key!("dport"), Quoted(event.destination.port()));
        line.put(key!("ipv6"), u8::from(event.destination.is_ipv6()));
        line.put(key!("level"), Word("info"));
        line.put(key!("msg"), Word(""));
        line.put(key!("pid"), Quoted(event.pid));
        let (hash, process) = (event.pid as usize, &event.process);
        self.processes
            .put(hash, process, (), &mut line, put_process);
        line.put(key!("time"), self.times.at(event.time));
        line.put(key!("user"), &*event.user_name().unwrap_or_default());
        line.put(key!("container"), name);
        line.put(key!("sip"), event.source.ip());
        line.put(key!("sport"), Quoted(event.source.port()));
        line.put(key!("comm"), &event.comm);
        line.put(key!("protocol"), ProtocolName(event.protocol));
        line.put(key!("outcome"), OutcomeWord(event.outcome));
        line.put_some(key!("error"), event.errno.and_then(ErrorName::of));
        line.put_some(key!("latencyNs"), event.latency.map(super::nanoseconds));
        line.put(key!("id"), event.id());
        line.put_some(
            key!("containerId"),
            container.and_then(|it| super::filled(&it.id)),
        );
        line.put_some(key!("tags"), super::filled_list(&event.tags));
        let labels = chosen(container, &self.labels);
        line.put_some(key!("labels"), super::filled_list(&labels));
        line.end();
        out.push(b'\n');
    }
}

fn put_process(process: &Process, (): (), line: &mut Object<'_>) {
    let args = process.args.as_deref().unwrap_or_default();
    line.put(key!("procArgs"), Joined(args.get(1..).unwrap_or_default()));
    let path = process.path.as_deref();
    line.put(key!("procPath"), path.unwrap_or_default());
}

fn chosen(container: Option<&Container>, keys: &[String]) -> Vec<(Arc<str>, Arc<str>)> {
    let Some(container) = container.filter(|_| !keys.is_empty()) else {
        return Vec::new();
    };
    let pod = container.pod.as_deref().map(|pod| &*pod.labels);
    let all = container.labels.iter().chain(pod.unwrap_or_default());
    let of = |wanted: &String| all.clone().find(|(key, _)| **key == **wanted).cloned();
    keys.iter().filter_map(of).collect()
}

/// Appends the notice and a newline.
pub fn notice(notice: &Notice, zone: &TimeZone, out: &mut Vec<u8>) {
    let level = match notice {
        Notice::Lost { .. } | Notice::Blind { .. } => "warning",
        Notice::Sighted { .. } | Notice::Report { .. } => "info",
    };
    let line = NoticeLine {
        conatiner: "",
        dip: "",
        dport: "",
        ipv6: 0,
        level,
        msg: notice.to_string(),
        pid: "",
        proc_args: "",
        proc_path: "",
        time: Time::new(notice.time(), zone, 0),
        user: "",
        notice: super::notice::Data::new(notice, zone, 0),
    };
    super::write(&line, out);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NoticeLine<'a> {
    conatiner: &'static str,
    dip: &'static str,
    dport: &'static str,
    ipv6: u8,
    level: &'static str,
    msg: String,
    pid: &'static str,
    proc_args: &'static str,
    proc_path: &'static str,
    time: Time,
    user: &'static str,
    #[serde(flatten)]
    notice: super::notice::Data<'a>,
}

/// Texts as one string, with spaces between them.
struct Joined<'a>(&'a [Arc<str>]);

impl Value for Joined<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        for (i, text) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            escape::json_text(text, out);
        }
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{Pod, arbitrary};

    fn log(it: &Event) -> String {
        let mut out = Vec::new();
        Lines::new(TimeZone::fixed(tz::offset(8))).event(it, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_ordinary_event_begins_like_the_original() {
        assert_eq!(
            log(&Event::sample()),
            concat!(
                r#"{"conatiner":"web-server","dip":"93.184.215.14","dport":"443","ipv6":0,"level":"info","msg":"","#,
                r#""pid":"1234","procArgs":"-s https://example.org/","procPath":"/usr/bin/curl","#,
                r#""time":"2026-11-23T23:04:05+08:00","user":"root","container":"web-server","sip":"192.168.1.100","#,
                r#""sport":"34567","comm":"curl","protocol":"tcp","outcome":"established","latencyNs":1234000,"#,
                r#""id":"ca3fe49eac8-4d3","containerId":"3f4e8d0c5b6a79881726354433221100ffeeddccbbaa99887766554433221100","#,
                r#""tags":{"country":"US"}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn chosen_labels_come_from_the_container_or_else_its_pod() {
        let mut it = Event::sample();
        let container = Arc::make_mut(it.container.as_mut().unwrap());
        container.labels = vec![("app".into(), "web".into()), ("x".into(), "1".into())];
        container.pod = Some(Arc::new(Pod {
            labels: vec![
                ("app".into(), "pod's".into()),
                ("tier".into(), "\x1b".into()),
            ],
            ..Pod::default()
        }));
        let labels = |keys: &[&str]| {
            let (mut lines, mut out) = (Lines::new(TimeZone::UTC), Vec::new());
            lines.labels = keys.iter().map(|key| (*key).to_owned()).collect();
            lines.event(&it, &mut out);
            assert!(!out.contains(&0x1b));
            serde_json::from_slice::<Value>(&out).unwrap()["labels"].clone()
        };
        assert_eq!(
            labels(&["tier", "app", "none"]),
            serde_json::json!({"tier": "\x1b", "app": "web"})
        );
        assert_eq!(labels(&["none"]), Value::Null);
        assert_eq!(labels(&[]), Value::Null);
    }

    proptest! {
        #[test]
        fn the_original_keys_are_always_there_with_their_types(event in arbitrary::event()) {
            let line = log(&event);
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.chars().any(escape::is_unsafe), "{}", line);
            let value: Value = serde_json::from_str(line).unwrap();
            let texts = [
                "conatiner", "dip", "dport", "level", "msg", "pid", "procArgs", "procPath", "time", "user", "container",
                "sip", "sport",
            ];
            for key in texts {
                prop_assert!(value[key].is_string(), "{}", key);
            }
            prop_assert!(matches!(value["ipv6"].as_u64(), Some(0 | 1)));
            prop_assert_eq!(&value["conatiner"], &value["container"]);
        }

        #[test]
        fn a_notice_has_the_original_keys_and_its_own(it in arbitrary::notice()) {
            let mut out = Vec::new();
            notice(&it, &TimeZone::UTC, &mut out);
            let line = String::from_utf8(out).unwrap();
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.chars().any(escape::is_unsafe), "{}", line);
            let value: Value = serde_json::from_str(line).unwrap();
            let texts = ["conatiner", "dip", "dport", "pid", "procArgs", "procPath", "user"];
            for key in texts {
                prop_assert_eq!(value[key].as_str(), Some(""), "{}", key);
            }
            prop_assert_eq!(value["msg"].as_str(), Some(&*it.to_string()));
            prop_assert_eq!(value["notice"].as_str(), Some(it.kind()));
            prop_assert!(value["time"].is_string() && value["level"] != "error");
        }
    }
}
