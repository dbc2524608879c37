//! Where lightmon keeps what it writes for itself, when nobody names a place.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Instead of a place: it is not kept.
const NONE: &str = "none";

/// A folder of one kind: root's, and another user's by the XDG Base Directory Specification.
struct Kind {
    root: &'static str,
    variable: &'static str,
    under_home: &'static str,
}

const CACHE: Kind = Kind {
    root: "/var/cache/lightmon",
    variable: "XDG_CACHE_HOME",
    under_home: ".cache",
};

const STATE: Kind = Kind {
    root: "/var/lib/lightmon",
    variable: "XDG_STATE_HOME",
    under_home: ".local/state",
};

/// For compiled plugins: the folder that was asked for, or else this user's; there is none when it is switched off, or without a
/// home.
pub fn cache_dir(asked: Option<PathBuf>) -> Option<PathBuf> {
    chosen(asked, || CACHE.folder())
}

/// The same for programs that read no settings but the environment (`LIGHTMON_CACHE_DIR`).
pub fn default_cache_dir() -> Option<PathBuf> {
    cache_dir(env::var_os("LIGHTMON_CACHE_DIR").map(PathBuf::from))
}

/// For events that plugins fail on: likewise, a file.
pub fn dead_letters(asked: Option<PathBuf>) -> Option<PathBuf> {
    chosen(asked, || Some(STATE.folder()?.join("dead-letters.jsonl")))
}

fn chosen(asked: Option<PathBuf>, default: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    match asked.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path == Path::new(NONE) => None,
        None => default(),
        asked => asked,
    }
}

impl Kind {
    fn folder(&self) -> Option<PathBuf> {
        self.of(nix::unistd::geteuid().is_root(), |name| env::var_os(name))
    }

    fn of(&self, is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        // With sudo, the variables are often those of another user.
        if is_root {
            return Some(self.root.into());
        }
        // The specification has relative paths ignored.
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute(self.variable)
            .or_else(|| Some(absolute("HOME")?.join(self.under_home)))
            .map(|folders| folders.join("lightmon"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_this_users() {
        for (is_root, xdg, home, cache, state) in [
            (
                true,
                "/x",
                "/a",
                Some("/var/cache/lightmon"),
                Some("/var/lib/lightmon"),
            ),
            (false, "/x", "/a", Some("/x/lightmon"), Some("/x/lightmon")),
            (
                false,
                "x",
                "/a",
                Some("/a/.cache/lightmon"),
                Some("/a/.local/state/lightmon"),
            ),
            (
                false,
                "",
                "/a",
                Some("/a/.cache/lightmon"),
                Some("/a/.local/state/lightmon"),
            ),
            (false, "", "", None, None),
        ] {
            for (kind, expected) in [(CACHE, cache), (STATE, state)] {
                let folder = kind.of(is_root, |name| match name {
                    "HOME" => Some(home.into()),
                    name => (name == kind.variable).then(|| xdg.into()),
                });
                assert_eq!(folder.as_deref(), expected.map(Path::new), "{xdg} {home}");
            }
        }
        assert_eq!(CACHE.of(false, |_| None), None);
    }

    #[test]
    fn one_that_is_asked_for_or_none() {
        for place in [cache_dir, dead_letters] {
            assert_eq!(place(Some("/x".into())), Some("/x".into()));
            assert_eq!(place(Some("./none".into())), Some("./none".into()));
            assert_eq!(place(Some("none".into())), None);
            assert_eq!(place(Some("".into())), place(None));
        }
    }
}
