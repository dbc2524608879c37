//! A set of domain names that matches the names and their subdomains. Resolves no names.

use std::net::IpAddr;

/// Domain names, sorted, in lower case, without a trailing dot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest entry that equals the name or is a parent domain of it.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut rest = &*name;
        loop {
            if let Ok(at) = self.0.binary_search_by(|entry| (**entry).cmp(rest)) {
                return Some(&self.0[at]);
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

impl FromIterator<String> for Names {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        names.shrink_to_fit();
        Self(names)
    }
}

/// Parses a domain name into its normalized form.
///
/// # Errors
/// If the text is not a domain name. The text of the error says why.
pub(crate) fn parse(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if text.parse::<IpAddr>().is_ok() || text.contains('/') {
        return Err("not a host name: put addresses and networks into `networks`");
    }
    if name.contains('*') {
        return Err("remove the `*`: a name matches its subdomains too");
    }
    if !name.is_ascii() {
        return Err("write the name in ASCII, as DNS does: xn--…");
    }
    let is_label = |label: &str| {
        matches!(label.len(), 1..=63)
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("not a host name such as example.org");
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        for (text, expect) in [
            ("example.org", Ok("example.org")),
            ("Example.ORG.", Ok("example.org")),
            (
                "_dmarc.xn--bcher-kva.example",
                Ok("_dmarc.xn--bcher-kva.example"),
            ),
            ("onion", Ok("onion")),
            (
                "bücher.example",
                Err("write the name in ASCII, as DNS does: xn--…"),
            ),
            (
                "*.example.org",
                Err("remove the `*`: a name matches its subdomains too"),
            ),
            (
                "192.0.2.1",
                Err("not a host name: put addresses and networks into `networks`"),
            ),
            (
                "192.0.2.0/24",
                Err("not a host name: put addresses and networks into `networks`"),
            ),
            (
                "2001:db8::1",
                Err("not a host name: put addresses and networks into `networks`"),
            ),
            (
                "https://example.org",
                Err("not a host name: put addresses and networks into `networks`"),
            ),
            ("a..b", Err("not a host name such as example.org")),
            (".", Err("not a host name such as example.org")),
            (
                "example.org:443",
                Err("not a host name such as example.org"),
            ),
            (&"a".repeat(64), Err("not a host name such as example.org")),
            (
                &"a.".repeat(128),
                Err("not a host name such as example.org"),
            ),
        ] {
            assert_eq!(parse(text), expect.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn names_match_themselves_and_their_subdomains() {
        let names: Names = ["example.org", "evil.example.org", "net", "a.b.c"]
            .map(String::from)
            .into_iter()
            .collect();
        for (name, expect) in [
            ("example.org", Some("example.org")),
            ("EXAMPLE.org.", Some("example.org")),
            ("www.example.org", Some("example.org")),
            ("evil.example.org", Some("evil.example.org")),
            ("a.evil.example.org", Some("evil.example.org")),
            ("notexample.org", None),
            ("example.org.com", None),
            ("org", None),
            ("x.net", Some("net")),
            ("b.c", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(names.find(name), expect, "{name}");
        }
    }
}
