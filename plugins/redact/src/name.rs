//! Recognizes names of secrets: `--db-password`, `AWS_SECRET_ACCESS_KEY`, `accessToken`, `X-Api-Key`. Looks only at names, never at
//! values.

/// If a word of a name ends with one of these, it is the name of a secret: `authtoken` as well as `token`.
const SECRET_SUFFIXES: &[&str] = &[
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

/// If a whole word of a name is one of these, it is the name of a secret. As suffixes they would also match `bypass` and `compass`.
const SECRET_WORDS: &[&str] = &[
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
    // Signatures in URLs that give temporary access: `?sig=…`, `X-Amz-Signature=…`.
    "sig",
    "signature",
    // For `REDISCLI_AUTH`. The word `auth` alone often names a method, not a secret.
    "rediscli",
];

/// The word `key` after one of these names a secret.
const KEY_PREFIXES: &[&str] = &[
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

/// If the last word of a name is one of these, the value describes a secret or says where it is.
const METADATA_WORDS: &[&str] = &[
    "file", "path", "dir", "stdin", "url", "uri", "ttl", "length", "type", "policy", "name",
];

/// Maximum length of a name. A longer text is data.
const MAX_NAME_BYTES: usize = 128;

/// The names of secrets: the built-in ones and those of the user.
#[derive(Debug, Default)]
pub(crate) struct Names {
    custom: Vec<String>,
}

impl Names {
    /// Adds names to the built-in ones.
    ///
    /// # Errors
    /// A name without a letter or digit.
    pub(crate) fn with(keys: &[String]) -> Result<Self, String> {
        let custom = keys.iter().map(|key| match normalized(key) {
            normalized if normalized.is_empty() => Err(key.clone()),
            normalized => Ok(normalized),
        });
        Ok(Self {
            custom: custom.collect::<Result<_, _>>()?,
        })
    }

    /// Whether `name` is the name of a secret.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return false;
        }
        let words = words(name);
        if self
            .custom
            .iter()
            .any(|custom| words.split('-').any(|word| word == custom))
            || !self.custom.is_empty() && self.custom.contains(&normalized(name))
        {
            return true;
        }
        let mut before = "";
        let mut secret = false;
        for word in words.split('-') {
            secret |= SECRET_WORDS.contains(&word)
                || SECRET_SUFFIXES.iter().any(|end| word.ends_with(end))
                || word == "key" && KEY_PREFIXES.contains(&before);
            before = word;
        }
        secret && !METADATA_WORDS.contains(&before)
    }
}

/// The letters and digits of a name, in lower case.
fn normalized(name: &str) -> String {
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
    fn built_in_names_are_recognized() {
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
    fn the_users_names_are_recognized() {
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
