//! Finds the mount point of the cgroup version 2 tree in /proc/PID/mountinfo.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// The mount point of the version 2 tree, from the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)). A mount of the whole
/// tree is preferred to a mount of a part.
pub(crate) fn unified_mount(mountinfo: &[u8]) -> Option<PathBuf> {
    let mut part = None;
    for line in mountinfo.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else {
            continue;
        };
        let kind = fields.skip_while(|field| *field != b"-").nth(1);
        if kind == Some(b"cgroup2") {
            let point = PathBuf::from(OsStr::from_bytes(&unescape(point)));
            if root == b"/" {
                return Some(point);
            }
            part.get_or_insert(point);
        }
    }
    part
}

/// Decodes `\ooo`, which stands for space, tab, newline and backslash in mountinfo.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                text.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => {
                text.push(*first);
                rest = after;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_cgroup2_mount() {
        let hybrid = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = b"1 2 0:9 /docker/x /part rw - cgroup2 none rw\n26 22 0:23 / /odd\\040\\134place rw - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(unified), Some("/odd \\place".into()));
        let part = b"1 2 0:9 /docker/x /part rw - cgroup2 none rw\n";
        assert_eq!(unified_mount(part), Some("/part".into()));
        assert_eq!(unified_mount(b"1 2 0:9 / /x rw - tmpfs cgroup2 rw\n"), None);
        assert_eq!(unified_mount(b""), None);
    }
}
