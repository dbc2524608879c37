//! Finds secrets within one text: `NAME=value` and `name: value` if the name is that of a secret, URLs with a password, bearer
//! tokens, and keys of a known form. Does not look at other arguments.
//!
//! Each search takes linear time, because arguments may be long and hostile.

use std::ops::Range;

use crate::{flag, name::Names};

/// Adds the ranges of all secrets in the text. Ranges may overlap.
pub(crate) fn secrets(text: &str, names: &Names, found: &mut Vec<Range<usize>>) {
    assignments(text, names, found);
    for word in words(text, is_separator) {
        user_info(text, &word, found);
    }
    for word in words(text, |c| !is_token(c)) {
        known_form(text, &word, found);
    }
    private_keys(text, found);
    webhooks(text, found);
    hashes(text, found);
    bearer(text, found);
    command_line(text, names, found);
}

/// Finds assignments: `NAME=value`, `name: value`, `"name": "value"`.
fn assignments(text: &str, names: &Names, found: &mut Vec<Range<usize>>) {
    let mut done = 0;
    for (at, _) in text.match_indices(['=', ':']) {
        if at < done {
            continue;
        }
        // Skip quotes and spaces backwards, as in `"name" :`.
        let before = text[..at].trim_end_matches(' ');
        let bare = before.trim_end_matches(['"', '\'', '\\']);
        let quoted = bare.len() < before.len();
        let start = bare
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + char_len(bare, i));
        let name = bare[start..].trim_start_matches('-');
        if !names.is_secret(name) {
            continue;
        }
        let flag = &bare[..bare.len() - name.len()];
        let first = !quoted && flag.chars().all(|c| c == '-');
        let value = value(text, at, first, quoted, name);
        done = value.end;
        found.push(value);
    }
}

/// The value of an assignment whose `=` or `:` is at `at`.
fn value(text: &str, at: usize, first: bool, quoted: bool, name: &str) -> Range<usize> {
    let colon = text[at..].starts_with(':');
    let rest = text[at + 1..].trim_start_matches(['=', '>', ' ']);
    // Not a secret: `token:/run/x` is a volume, and `secret://` is a scheme.
    if colon && !quoted && rest.starts_with('/') {
        return at..at;
    }
    let opened = rest.trim_start_matches('\\');
    let escaped = opened.len() < rest.len();
    if let Some(quote) = opened.chars().next().filter(|c| is_quote(*c)) {
        let start = text.len() - opened.len() + 1;
        return start..closing_quote(text, start, quote, escaped);
    }
    let start = text.len() - rest.len();
    let header = colon
        && (name.to_ascii_lowercase().ends_with("authorization")
            || name.to_ascii_lowercase().ends_with("cookie"));
    let start = if header { start + scheme(rest) } else { start };
    let rest = &text[start..];
    // The value of a header extends to the end of the line. If the whole text is one assignment, the value extends to its end.
    let length = if first {
        rest.len()
    } else if header {
        rest.find(['"', '\'', '\n', '\r']).unwrap_or(rest.len())
    } else {
        rest.find(|c| is_separator(c) || matches!(c, '&' | ';' | ','))
            .unwrap_or(rest.len())
    };
    start..start + length
}

/// The length of an authentication scheme at the start, such as `Bearer ` or `Basic `. It is not secret.
fn scheme(text: &str) -> usize {
    match text.split_once(' ') {
        Some((scheme, rest))
            if ["bearer", "basic", "digest", "token", "negotiate", "apikey"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(scheme)) =>
        {
            text.len() - rest.len()
        }
        _ => 0,
    }
}

/// The end of the quoted text that starts at `start`. If `escaped`, the closing quote has a backslash, as in `\"…\"`.
fn closing_quote(text: &str, start: usize, quote: char, escaped: bool) -> usize {
    let rest = &text[start..];
    let mut backslash = false;
    for (i, c) in rest.char_indices() {
        if c == quote && backslash == escaped {
            return start + i - usize::from(escaped);
        }
        backslash = c == '\\' && (escaped || !backslash);
    }
    text.len()
}

/// Finds passwords in `scheme://user:password@host` and `user:password@tcp(host)`.
fn user_info(text: &str, word: &Range<usize>, found: &mut Vec<Range<usize>>) {
    let word_text = &text[word.clone()];
    let (start, authority) = match word_text.find("://") {
        Some(at) => {
            let start = word.start + at + 3;
            let rest = &text[start..word.end];
            let slash = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (start, &rest[..slash])
        }
        // Without a scheme, the authority is the value of an assignment or the whole word.
        None => {
            let start = word_text.rfind(['=', ',']).map_or(0, |i| i + 1);
            (word.start + start, &word_text[start..])
        }
    };
    let Some((user, host)) = authority.rsplit_once('@') else {
        return;
    };
    let Some((name, password)) = user.split_once(':') else {
        return;
    };
    // Not secrets: the digest of an image, and mail and SIP addresses.
    if ["sha256:", "sha512:"].iter().any(|it| host.starts_with(it))
        || ["mailto", "sip", "sips", "acct"].contains(&name)
    {
        return;
    }
    let start = start + name.len() + 1;
    found.push(start..start + password.len());
}

/// Prefixes of keys and tokens, and the minimum length of the rest.
const TOKEN_PREFIXES: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("ABIA", 16),
    ("ACCA", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glrt-", 16),
    ("glptt-", 16),
    ("glcbt-", 16),
    ("glsoat-", 16),
    ("glft-", 16),
    ("glagent-", 16),
    ("glimt-", 16),
    ("gloas-", 16),
    ("glwt-", 16),
    ("glffct-", 16),
    ("GR1348941", 16),
    ("xoxa-", 10),
    ("xoxb-", 10),
    ("xoxc-", 10),
    ("xoxd-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("xoxe-", 10),
    ("xoxe.", 10),
    ("sk-", 20),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("whsec_", 20),
    ("AIza", 30),
    ("GOCSPX-", 20),
    ("ya29.", 20),
    ("npm_", 30),
    ("pypi-", 30),
    ("hf_", 30),
    ("hvs.", 20),
    ("hvb.", 20),
    ("hvr.", 20),
    ("dckr_pat_", 20),
    ("SG.", 30),
    ("dop_v1_", 30),
    ("doo_v1_", 30),
    ("dor_v1_", 30),
    ("dapi", 32),
    ("ATATT3", 30),
    ("shpat_", 30),
    ("lin_api_", 30),
    ("AGE-SECRET-KEY-1", 30),
];

/// Finds keys of a known form and JSON web tokens.
fn known_form(text: &str, word: &Range<usize>, found: &mut Vec<Range<usize>>) {
    let token = &text[word.clone()];
    let known = TOKEN_PREFIXES
        .iter()
        .any(|(start, rest)| token.len() >= start.len() + rest && token.starts_with(start));
    let jwt = token.starts_with("eyJ") && token.len() >= 30 && token.matches('.').count() >= 2;
    if known || jwt {
        found.push(word.clone());
    }
}

/// Finds private keys: the rest of the text after the first line of a key. The last line may be missing.
fn private_keys(text: &str, found: &mut Vec<Range<usize>>) {
    for begin in ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"] {
        if let Some(at) = text.find(begin) {
            found.push(at + begin.len()..text.len());
        }
    }
}

/// URLs whose path is a secret.
const WEBHOOK_URLS: &[&str] = &[
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "discord.com/api/webhooks/",
];

fn webhooks(text: &str, found: &mut Vec<Range<usize>>) {
    for hook in WEBHOOK_URLS {
        let mut done = 0;
        for (at, _) in text.match_indices(hook) {
            if at < done {
                continue;
            }
            let start = at + hook.len();
            done = text[start..]
                .find(is_separator)
                .map_or(text.len(), |length| start + length);
            found.push(start..done);
        }
    }
}

/// Prefixes of passwords hashed by crypt(3) or htpasswd.
const HASH_PREFIXES: &[&str] = &[
    "$apr1$", "$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$", "$argon2",
];

/// Finds hashed passwords: `joe:$apr1$…`. In Compose files each `$` is written twice.
fn hashes(text: &str, found: &mut Vec<Range<usize>>) {
    for word in words(text, |c| is_separator(c) || matches!(c, ':' | ',')) {
        let start = text[word.clone()]
            .find('$')
            .map_or(word.end, |at| word.start + at);
        let hash: String = text[start..word.end].chars().take(16).collect();
        let hash = hash.replace("$$", "$");
        if word.end - start >= 20 && HASH_PREFIXES.iter().any(|it| hash.starts_with(it)) {
            found.push(start..word.end);
        }
    }
}

/// Finds tokens after the word `Bearer`.
fn bearer(text: &str, found: &mut Vec<Range<usize>>) {
    let mut before = "";
    for word in words(text, is_separator) {
        let token = text[word.clone()].trim_end_matches([',', ';', ')']);
        if ends_with_word(before, "bearer") && token.len() >= 8 {
            found.push(word.start..word.start + token.len());
        }
        before = &text[word];
    }
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else {
        return false;
    };
    text.get(at..)
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
        && !text[..at].ends_with(|c: char| c.is_alphanumeric())
}

/// Finds secrets in a command line within one argument: `sh -c 'mysql -px'`. Quotes separate words too, so that nested commands
/// are found. A quoted value extends to its closing quote.
fn command_line(text: &str, names: &Names, found: &mut Vec<Range<usize>>) {
    if !text.contains([' ', '\t', '\n']) {
        return;
    }
    let words: Vec<_> = words(text, is_separator).collect();
    let texts: Vec<&str> = words.iter().map(|word| &text[word.clone()]).collect();
    for (word, value) in words.iter().zip(flag::values(&texts, names)) {
        if let Some(value) = value {
            let quote = text[..word.start]
                .chars()
                .next_back()
                .filter(|c| is_quote(*c));
            let end = quote.map_or(word.end, |quote| {
                closing_quote(text, word.start, quote, false)
            });
            found.push(word.start + value.start..end.max(word.end));
        }
    }
}

/// The ranges of the words between separators.
fn words(text: &str, is_separator: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let start = move |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split(is_separator)
        .filter(|word| !word.is_empty())
        .map(move |word| start(word)..start(word) + word.len())
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_quote(c) || matches!(c, '`' | '\\')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'')
}

/// Whether the character may be part of the name of a flag, variable, header or JSON member.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Whether the character may be part of a key or token.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}
