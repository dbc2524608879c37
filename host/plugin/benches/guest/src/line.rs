//! Writes all fields of an event as a line of JSON.

use std::{fmt::Write as _, net::IpAddr};

/// The fields of the line, without arguments and tags.
#[expect(missing_docs, reason = "the names of the fields say it")]
pub struct Line<'a> {
    pub time: u64,
    pub latency: u64,
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    pub pid: u32,
    pub uid: u32,
    pub user: &'a str,
    pub comm: &'a str,
    pub path: &'a str,
    pub container: Option<(&'a str, &'a str, &'a str)>,
    pub outcome: &'a str,
}

impl Line<'_> {
    /// Writes the line with the given arguments and tags.
    pub fn json<'a>(
        &self,
        args: impl Iterator<Item = &'a str>,
        tags: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"time\":");
        number(&mut out, self.time);
        out.push_str(",\"source\":\"");
        endpoint(&mut out, self.source);
        out.push_str("\",\"destination\":\"");
        endpoint(&mut out, self.destination);
        out.push_str("\",\"pid\":");
        number(&mut out, self.pid.into());
        out.push_str(",\"uid\":");
        number(&mut out, self.uid.into());
        text(&mut out, ",\"user\":\"", self.user);
        text(&mut out, ",\"comm\":\"", self.comm);
        text(&mut out, ",\"path\":\"", self.path);
        out.push_str(",\"args\":\"");
        for (i, arg) in args.enumerate() {
            if i > 0 {
                out.push(' ');
            }
            escaped(&mut out, arg);
        }
        out.push('"');
        if let Some((id, name, image)) = self.container {
            text(&mut out, ",\"container\":\"", name);
            text(&mut out, ",\"id\":\"", id.get(..12).unwrap_or(id));
            text(&mut out, ",\"image\":\"", image);
        }
        text(&mut out, ",\"outcome\":\"", self.outcome);
        out.push_str(",\"latency\":");
        number(&mut out, self.latency);
        out.push_str(",\"tags\":{");
        for (i, (key, value)) in tags.enumerate() {
            text(&mut out, if i > 0 { ",\"" } else { "\"" }, key);
            text(&mut out, ":\"", value);
        }
        out.push_str("}}");
        out
    }
}

/// Writes a decimal number. Faster than the standard library, whose formatting would take most of the time of a line.
fn number(out: &mut String, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

fn endpoint(out: &mut String, (address, port): (IpAddr, u16)) {
    match address {
        IpAddr::V4(address) => {
            for (i, part) in address.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push('.');
                }
                number(out, part.into());
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "[{address}]");
        }
    }
    out.push(':');
    number(out, port.into());
}

fn text(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    escaped(out, value);
    out.push('"');
}

fn escaped(out: &mut String, text: &str) {
    let mut from = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            out.push_str(&text[from..i]);
            from = i + 1;
            let _ = write!(out, "\\u{byte:04x}");
        }
    }
    out.push_str(&text[from..]);
}
