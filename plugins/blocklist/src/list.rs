//! Splits the settings `networks` and `domains` into entries. In the configuration file they are a list or a text of several
//! lines, on the command line a text with `+` or `,` between the entries. The caller parses the entries.

use serde::Deserialize;

/// A list as the user wrote it, including comments.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum List {
    Text(String),
    Texts(Vec<String>),
}

impl Default for List {
    fn default() -> Self {
        Self::Texts(vec![])
    }
}

impl List {
    /// Parses each entry. Ignores blank lines and comments, which start with `#` or `;`.
    ///
    /// # Errors
    /// If `parse` rejects an entry. The text names the setting and the entry.
    pub(crate) fn parse<T, C: FromIterator<T>>(
        &self,
        setting: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<C, String> {
        let texts = match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::Texts(texts) => texts,
        };
        texts
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| line.split(['#', ';']).next().unwrap_or_default())
            .flat_map(|line| line.split(|c: char| c.is_whitespace() || matches!(c, '+' | ',')))
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                parse(entry).map_err(|problem| {
                    let shown: String = entry.chars().take(80).collect();
                    format!("setting `{setting}`: `{shown}`: {problem}")
                })
            })
            .collect()
    }
}
