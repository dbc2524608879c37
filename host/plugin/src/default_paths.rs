//! The default paths of the cache and the dead-letter queue.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Given instead of a path, to switch the cache or the queue off.
const NONE: &str = "none";

/// The directories of one kind: root's, and other users' after the XDG Base Directory Specification.
struct BaseDir {
    root: &'static str,
    variable: &'static str,
    under_home: &'static str,
}

const CACHE: BaseDir = BaseDir {
    root: "/var/cache/lightmon",
    variable: "XDG_CACHE_HOME",
    under_home: ".cache",
};

const STATE: BaseDir = BaseDir {
    root: "/var/lib/lightmon",
    variable: "XDG_STATE_HOME",
    under_home: ".local/state",
};

/// The directory for compiled plugins: the configured one, or this user's default. `None` if it is switched off, or if the user has
/// no home directory.
pub fn cache_dir(configured: Option<PathBuf>) -> Option<PathBuf> {
    configured_or(configured, || CACHE.path())
}

/// The same for programs whose only setting is the environment variable `LIGHTMON_CACHE_DIR`.
pub fn default_cache_dir() -> Option<PathBuf> {
    cache_dir(env::var_os("LIGHTMON_CACHE_DIR").map(PathBuf::from))
}

/// The file of the dead-letter queue: the configured one, or this user's default.
pub fn dead_letters(configured: Option<PathBuf>) -> Option<PathBuf> {
    configured_or(configured, || {
        Some(STATE.path()?.join("dead-letters.jsonl"))
    })
}

fn configured_or(
    configured: Option<PathBuf>,
    default: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    match configured.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path == Path::new(NONE) => None,
        None => default(),
        configured => configured,
    }
}

impl BaseDir {
    fn path(&self) -> Option<PathBuf> {
        self.of(nix::unistd::geteuid().is_root(), |name| env::var_os(name))
    }

    fn of(&self, is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        // With sudo, the variables are often another user's.
        if is_root {
            return Some(self.root.into());
        }
        // The specification says to ignore relative paths.
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute(self.variable)
            .or_else(|| Some(absolute("HOME")?.join(self.under_home)))
            .map(|dir| dir.join("lightmon"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_of_this_user() {
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
                let dir = kind.of(is_root, |name| match name {
                    "HOME" => Some(home.into()),
                    name => (name == kind.variable).then(|| xdg.into()),
                });
                assert_eq!(dir.as_deref(), expected.map(Path::new), "{xdg} {home}");
            }
        }
        assert_eq!(CACHE.of(false, |_| None), None);
    }

    #[test]
    fn a_path_can_be_configured_or_switched_off() {
        for path in [cache_dir, dead_letters] {
            assert_eq!(path(Some("/x".into())), Some("/x".into()));
            assert_eq!(path(Some("./none".into())), Some("./none".into()));
            assert_eq!(path(Some("none".into())), None);
            assert_eq!(path(Some("".into())), path(None));
        }
    }
}
