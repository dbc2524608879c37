//! The manifest of a plugin: JSON in the custom section `lightmon:manifest`, generated at compile time. lightmon reads it
//! without running the plugin. Most fields come from Cargo.toml.

/// The description of a plugin. [`register!`](crate::register) takes the first five fields from Cargo.toml.
#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// `package.name`.
    pub name: &'static str,
    /// `package.version`.
    pub version: &'static str,
    /// `package.description`.
    pub description: &'static str,
    /// `package.license`, the licence of the code. If the plugin contains data under another licence, say so in `notice`.
    pub license: &'static str,
    /// `package.homepage`, or else `package.repository`.
    pub homepage: &'static str,
    /// What the plugin does to events.
    pub role: Role,
    /// The tables that the plugin opens.
    pub permissions: &'static [Permission],
    /// JSON Schema of the settings; empty if there are none.
    pub config: &'static str,
    /// A command-line option that loads the plugin: `--plugin redact.wasm:keys=pin`.
    pub example: &'static str,
    /// A notice that a licence requires, such as the source of the plugin's data.
    pub notice: &'static str,
}

/// A [table](crate::table) that a plugin opens. The user must grant it; the manifest tells the user which table and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission {
    /// The name of the table, as in `table.NAME=FILE`.
    pub table: &'static str,
    /// What the table is for, and which format and columns the file must have.
    pub why: &'static str,
    /// Whether the plugin works without the table. If not, lightmon does not start without a grant.
    pub optional: bool,
}

/// What a plugin does to events. The role decides what the host does with an event on which the plugin fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// Drops or tags events. If it fails, the events pass unchanged.
    #[default]
    Filter,
    /// Masks secrets. If it fails, the events are dropped, because they may contain secrets.
    Redactor,
    /// Writes output lines. If it fails, lightmon writes the events in its own format.
    Formatter,
}

impl Manifest {
    /// The length of the JSON in bytes.
    #[doc(hidden)]
    pub const fn json_len(&self) -> usize {
        self.write(Json {
            bytes: [],
            length: 0,
            opened: false,
        })
        .length
    }

    /// The JSON; `N` is its length.
    #[doc(hidden)]
    pub const fn json<const N: usize>(&self) -> [u8; N] {
        let json = self.write(Json {
            bytes: [0; N],
            length: 0,
            opened: false,
        });
        assert!(json.length == N, "N is the length of the manifest");
        json.bytes
    }

    const fn write<const N: usize>(&self, json: Json<N>) -> Json<N> {
        let role = match self.role {
            Role::Filter => "filter",
            Role::Redactor => "redactor",
            Role::Formatter => "formatter",
        };
        json.raw("{")
            .text("name", self.name)
            .text("version", self.version)
            .text("description", self.description)
            .text("license", self.license)
            .text("homepage", self.homepage)
            .text("role", role)
            .object("config", self.config)
            .permissions(self.permissions)
            .text("example", self.example)
            .text("notice", self.notice)
            .raw("}")
    }
}

/// Writes JSON into a buffer. Counts all bytes, also those beyond the end of the buffer.
struct Json<const N: usize> {
    bytes: [u8; N],
    length: usize,
    /// Whether the last byte was `{`. The next key then needs no comma.
    opened: bool,
}

impl<const N: usize> Json<N> {
    const fn text(self, key: &str, value: &str) -> Self {
        if value.is_empty() {
            return self;
        }
        self.key(key).raw("\"").escaped(value).raw("\"")
    }

    const fn object(self, key: &str, json: &str) -> Self {
        if json.is_empty() {
            return self;
        }
        self.key(key).raw(json)
    }

    const fn permissions(self, permissions: &[Permission]) -> Self {
        if permissions.is_empty() {
            return self;
        }
        let mut json = self.key("permissions");
        let mut i = 0;
        while i < permissions.len() {
            let Permission {
                table,
                why,
                optional,
            } = permissions[i];
            json = json
                .raw(if i == 0 { "[{" } else { ",{" })
                .text("table", table)
                .text("why", why)
                .object("optional", if optional { "true" } else { "false" })
                .raw("}");
            i += 1;
        }
        json.raw("]")
    }

    const fn key(self, key: &str) -> Self {
        let comma = if self.opened { "" } else { "," };
        self.raw(comma).raw("\"").raw(key).raw("\":")
    }

    const fn raw(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            self = self.byte(text[i]);
            i += 1;
        }
        self
    }

    const fn escaped(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            self = match text[i] {
                b'\n' => self.raw("\\n"),
                // Other control characters are replaced: they have no use in a manifest.
                0..0x20 => self.byte(b' '),
                byte @ (b'"' | b'\\') => self.byte(b'\\').byte(byte),
                byte => self.byte(byte),
            };
            i += 1;
        }
        self
    }

    const fn byte(mut self, byte: u8) -> Self {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
        self.opened = byte == b'{';
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_at_compile_time() {
        const MANIFEST: Manifest = Manifest {
            name: "x",
            version: "0.1.0",
            description: "says \"é\\\"\tand\nmore",
            license: "",
            homepage: "",
            role: Role::Redactor,
            permissions: &[
                Permission {
                    table: "a",
                    why: "for \"b\"",
                    optional: true,
                },
                Permission {
                    table: "c",
                    why: "",
                    optional: false,
                },
            ],
            config: r#"{"type":"object"}"#,
            example: "x",
            notice: "",
        };
        const JSON: [u8; MANIFEST.json_len()] = MANIFEST.json();
        assert_eq!(
            std::str::from_utf8(&JSON).unwrap(),
            r#"{"name":"x","version":"0.1.0","description":"says \"é\\\" and\nmore","role":"redactor","config":{"type":"object"},"permissions":[{"table":"a","why":"for \"b\"","optional":true},{"table":"c","optional":false}],"example":"x"}"#
        );
        serde_json::from_slice::<serde_json::Value>(&JSON).unwrap();
    }
}
