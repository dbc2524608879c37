//! The folder for compiled plugins, when nobody names one.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Instead of a folder: no cache.
const NONE: &str = "none";

/// The folder that was asked for, or else this user's; there is none when it is switched off, or without a home.
pub(super) fn cache_dir(asked: Option<PathBuf>) -> Option<PathBuf> {
    match asked.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if path == Path::new(NONE) => None,
        None => default(nix::unistd::geteuid().is_root(), |name| env::var_os(name)),
        asked => asked,
    }
}

fn default(is_root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // With sudo, the variables are often those of another user.
    if is_root {
        return Some("/var/cache/lightmon".into());
    }
    // The XDG Base Directory Specification has relative paths ignored.
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .map(|caches| caches.join("lightmon"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_this_users() {
        for (is_root, xdg, home, expected) in [
            (true, "/x", "/home/a", Some("/var/cache/lightmon")),
            (false, "/x", "/home/a", Some("/x/lightmon")),
            (false, "x", "/home/a", Some("/home/a/.cache/lightmon")),
            (false, "", "/home/a", Some("/home/a/.cache/lightmon")),
            (false, "", "", None),
        ] {
            let folder = default(is_root, |name| match name {
                "XDG_CACHE_HOME" => Some(xdg.into()),
                _ => Some(home.into()),
            });
            assert_eq!(folder.as_deref(), expected.map(Path::new), "{xdg} {home}");
        }
        assert_eq!(default(false, |_| None), None);
    }

    #[test]
    fn one_that_is_asked_for_or_none() {
        assert_eq!(cache_dir(Some("/x".into())), Some("/x".into()));
        assert_eq!(cache_dir(Some("./none".into())), Some("./none".into()));
        assert_eq!(cache_dir(Some("none".into())), None);
        assert_eq!(cache_dir(Some("".into())), cache_dir(None));
    }
}
