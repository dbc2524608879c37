//! A notice as a line of JSON, and back. See [`super`] for the keys.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{VERSION, malformed::Malformed, map::Map, time::Time, version};
use crate::{Lost, LostIn, Notice};

/// Appends the notice and a newline.
pub fn write(notice: &Notice, zone: &TimeZone, out: &mut Vec<u8>) {
    let line = Line {
        v: VERSION,
        time: Time::new(notice.time(), zone, 9),
        notice: Data::new(notice, zone, 9),
    };
    super::write(&line, out);
}

/// Reads a line that [`write`] has written.
pub(super) fn parse(line: &[u8]) -> Result<Notice, Malformed> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    if line.v != VERSION {
        return Err(Malformed::Version(line.v));
    }
    let time = line.time.at;
    Ok(match line.notice {
        Data::Lost {
            since,
            until,
            place,
            connections,
            processes,
        } => Notice::Lost {
            place: match place {
                LostInWord::Kernel => LostIn::Kernel,
                LostInWord::Output => LostIn::Output,
            },
            lost: Lost {
                since: since.at,
                until: until.at,
                connections,
                processes,
            },
        },
        Data::Blind { reason } => Notice::Blind {
            time,
            reason: reason.into_owned(),
        },
        Data::Sighted => Notice::Sighted { time },
        Data::Report {
            plugin,
            report,
            fields,
        } => Notice::Report {
            time,
            plugin: plugin.into_owned(),
            report: report.into_owned(),
            fields: fields.0.into_owned(),
        },
    })
}

/// The keys of a notice's line.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(default = "version")]
    v: u64,
    time: Time,
    #[serde(flatten)]
    notice: Data<'a>,
}

/// The keys of a notice, without its time, in every format that is JSON.
#[derive(Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "lowercase")]
pub(crate) enum Data<'a> {
    Lost {
        since: Time,
        until: Time,
        #[serde(rename = "where")]
        place: LostInWord,
        connections: u64,
        processes: u64,
    },
    Blind {
        reason: Cow<'a, str>,
    },
    Sighted,
    Report {
        plugin: Cow<'a, str>,
        report: Cow<'a, str>,
        fields: Map<'a, String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LostInWord {
    Kernel,
    Output,
}

impl<'a> Data<'a> {
    /// The keys, with this many digits after the seconds of times.
    pub(crate) fn new(notice: &'a Notice, zone: &TimeZone, digits: u32) -> Self {
        match notice {
            Notice::Lost { place, lost } => Self::Lost {
                since: Time::new(lost.since, zone, digits),
                until: Time::new(lost.until, zone, digits),
                place: match place {
                    LostIn::Kernel => LostInWord::Kernel,
                    LostIn::Output => LostInWord::Output,
                },
                connections: lost.connections,
                processes: lost.processes,
            },
            Notice::Blind { time: _, reason } => Self::Blind {
                reason: Cow::Borrowed(reason),
            },
            Notice::Sighted { time: _ } => Self::Sighted,
            Notice::Report {
                time: _,
                plugin,
                report,
                fields,
            } => Self::Report {
                plugin: Cow::Borrowed(plugin),
                report: Cow::Borrowed(report),
                fields: Map(Cow::Borrowed(fields)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz};
    use proptest::prelude::*;

    use super::*;
    use crate::{arbitrary, escape};

    fn json(notice: &Notice) -> String {
        let mut out = Vec::new();
        write(notice, &TimeZone::fixed(tz::offset(8)), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_of_notice() {
        let since: Timestamp = "2026-11-23T15:04:05Z".parse().unwrap();
        let until: Timestamp = "2026-11-23T15:04:06.5Z".parse().unwrap();
        let lost = Notice::Lost {
            place: LostIn::Kernel,
            lost: Lost {
                since,
                until,
                connections: 12,
                processes: 3,
            },
        };
        assert_eq!(
            json(&lost),
            concat!(
                r#"{"v":1,"time":"2026-11-23T23:04:06.500000000+08:00","notice":"lost","#,
                r#""since":"2026-11-23T23:04:05.000000000+08:00","until":"2026-11-23T23:04:06.500000000+08:00","#,
                r#""where":"kernel","connections":12,"processes":3}"#,
                "\n"
            )
        );
        let blind = Notice::Blind {
            time: since,
            reason: "no answer".into(),
        };
        assert_eq!(
            json(&blind),
            concat!(
                r#"{"v":1,"time":"2026-11-23T23:04:05.000000000+08:00","notice":"blind","reason":"no answer"}"#,
                "\n"
            )
        );
        let sighted = Notice::Sighted { time: since };
        assert_eq!(
            json(&sighted),
            concat!(
                r#"{"v":1,"time":"2026-11-23T23:04:05.000000000+08:00","notice":"sighted"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_report_of_a_plugin() {
        let report = Notice::Report {
            time: "2026-11-23T15:04:05Z".parse().unwrap(),
            plugin: "dedupe".into(),
            report: "suppressed".into(),
            fields: vec![("b".into(), "\x1b".into()), ("a".into(), "2".into())],
        };
        assert_eq!(
            json(&report),
            concat!(
                r#"{"v":1,"time":"2026-11-23T23:04:05.000000000+08:00","notice":"report","plugin":"dedupe","#,
                r#""report":"suppressed","fields":{"b":"\u001b","a":"2"}}"#,
                "\n"
            )
        );
        assert_eq!(report.to_string(), "dedupe: suppressed b=\x1b a=2");
    }

    #[test]
    fn lines_that_are_no_notices_are_refused() {
        for (line, reason) in [
            (
                r#"{"v":1,"time":"2026-11-23T15:04:05Z","notice":"new"}"#,
                "unknown variant `new`",
            ),
            (
                r#"{"v":2,"time":"2026-11-23T15:04:05Z","notice":"sighted"}"#,
                "version 2",
            ),
            (r#"{"v":1,"notice":"sighted"}"#, "missing field `time`"),
            (
                r#"{"v":1,"time":"2026-11-23T15:04:05Z"}"#,
                "missing field `notice`",
            ),
            (
                r#"{"v":1,"time":"2026-11-23T15:04:05Z","notice":"blind"}"#,
                "missing field `reason`",
            ),
        ] {
            let error = parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_notice_is_one_safe_line_and_read_back(notice in arbitrary::notice()) {
            let line = json(&notice);
            prop_assert_eq!(parse(line.as_bytes()).unwrap(), notice);
            let line = line.strip_suffix('\n').unwrap();
            prop_assert!(!line.chars().any(escape::is_unsafe), "{}", line);
        }
    }
}
