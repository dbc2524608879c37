//! Which names are names of secrets: `--db-password`, `AWS_SECRET_ACCESS_KEY`, `accessToken`, `X-Api-Key`.
//! Looks at names only, never at what they hold.

/// Ends of words that make a name one of a secret: `authtoken` as well as `token`.
const ENDS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "secrets",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
];

/// Whole words that do: as ends they would take `bypass` and `compass` too.
const WORDS: &[&str] = &[
    "pass",
    "pwd",
    "pw",
    "psk",
    "jwt",
    "authorization",
    "cookie",
    "requirepass",
    "masterauth",
    "keypass",
    "storepass",
    "passin",
    "passout",
    "dbpass",
    "userpass",
    // Of addresses that give access for a while: `?sig=…`, `X-Amz-Signature=…`.
    "sig",
    "signature",
    // `REDISCLI_AUTH`: `auth` alone says how, not with what.
    "rediscli",
];

/// What `key` has to follow to be a secret one.
const KEYS: &[&str] = &[
    "api",
    "access",
    "secret",
    "private",
    "encryption",
    "signing",
    "account",
    "storage",
    "shared",
    "master",
    "auth",
];

/// Last words of names that only tell where a secret is, or what it is like.
const ABOUT: &[&str] = &[
    "file", "path", "dir", "stdin", "url", "uri", "ttl", "length", "type", "policy", "name",
];

/// A name longer than this is data.
const LONGEST: usize = 128;

/// The names of secrets: the known ones and the user's.
#[derive(Debug, Default)]
pub(crate) struct Names {
    own: Vec<String>,
}

impl Names {
    /// The known names and these; `Err` is one that is none.
    pub(crate) fn with(keys: &[String]) -> Result<Self, String> {
        let own = keys.iter().map(|key| match plain(key) {
            plain if plain.is_empty() => Err(key.clone()),
            plain => Ok(plain),
        });
        Ok(Self {
            own: own.collect::<Result<_, _>>()?,
        })
    }

    /// Whether that is the name of a secret.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        if name.is_empty() || name.len() > LONGEST {
            return false;
        }
        let words = words(name);
        if self
            .own
            .iter()
            .any(|own| words.split('-').any(|word| word == own))
            || !self.own.is_empty() && self.own.contains(&plain(name))
        {
            return true;
        }
        let mut before = "";
        let mut secret = false;
        for word in words.split('-') {
            secret |= WORDS.contains(&word)
                || ENDS.iter().any(|end| word.ends_with(end))
                || word == "key" && KEYS.contains(&before);
            before = word;
        }
        secret && !ABOUT.contains(&before)
    }
}

/// Letters and digits only, in lower case.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The words of `snake_case`, `kebab-case`, `dotted.names` and `camelCase`, in lower case, with `-` between them.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut lower_before = false;
    let mut gap = false;
    for c in name.chars() {
        if c.is_alphanumeric() {
            if (gap || c.is_uppercase() && lower_before) && !words.is_empty() {
                words.push('-');
            }
            words.extend(c.to_lowercase());
        }
        gap = !c.is_alphanumeric();
        lower_before = c.is_lowercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known() {
        let names = Names::default();
        for name in "password PASSWORD db-password DB_PASSWORD dbPassword Dspring.datasource.password passwd PGPASSWORD pass pwd \
                     token auth-token authtoken accessToken GITHUB_TOKEN api-key apiKey api_key APIKEY X-Api-Key \
                     AWS_SECRET_ACCESS_KEY aws_access_key_id secret client-secret client_secret secret-id private-key \
                     Authorization Proxy-Authorization Cookie Set-Cookie credentials requirepass passphrase storepass \
                     MYSQL_PWD REDISCLI_AUTH sig X-Amz-Signature AccountKey SharedAccessKey NPM_CONFIG__authToken"
            .split_whitespace()
        {
            assert!(names.is_secret(name), "{name}");
        }
        for name in "user host port key keyboard monkey key-file max-tokens tokenizer bypass compass passive author auth \
                     password-file token_type --secret-name password-stdin token-ttl passenger design signal sort-key primary-key \
                     - _ ключ"
            .split_whitespace()
            .chain(["", &"password".repeat(100)])
        {
            assert!(!names.is_secret(name), "{name}");
        }
    }

    #[test]
    fn own() {
        let names = Names::with(&["pin".into(), "Badge-Id".into(), "ключ".into()]).unwrap();
        for name in [
            "pin", "PIN", "card-pin", "badge_id", "badgeId", "КЛЮЧ", "pin-file", "password",
        ] {
            assert!(names.is_secret(name), "{name}");
        }
        for name in ["pinned", "spin", "badge", "id"] {
            assert!(!names.is_secret(name), "{name}");
        }
        assert_eq!(Names::with(&["-".into()]).unwrap_err(), "-");
    }
}
