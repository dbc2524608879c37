//! Measures CPU time, memory and wake-ups of a process and its children. Reads proc_pid(5).

use std::{fs, time::Duration};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// A tool and its children. Processes that have ended are not counted.
#[derive(Clone, Copy)]
pub(super) struct Process(pub(super) Pid);

/// Memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// The peak of resident memory (VmHWM).
    pub(super) peak: u64,
    /// The part of it that is shared with the kernel for events, now.
    pub(super) ring: u64,
}

impl Process {
    /// CPU time so far, in kernel and user space, of all threads, also of those that have ended.
    pub(super) fn cpu(self) -> Duration {
        self.sum(|pid| {
            let clock = ClockId::pid_cpu_clock_id(pid).ok()?;
            Some(Duration::from(clock_gettime(clock).ok()?))
        })
    }

    pub(super) fn memory(self) -> Memory {
        let read = |pid, file| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        Memory {
            peak: self.sum(|pid| number(&read(pid, "status")?, "VmHWM:")),
            ring: self.sum(|pid| Some(ring(&read(pid, "smaps")?))),
        }
    }

    /// How often its threads have gone to sleep and were woken again, so far.
    pub(super) fn sleeps(self) -> u64 {
        self.sum(|pid| {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            let sleeps = threads.filter_map(|thread| {
                let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
                number(&status, "voluntary_ctxt_switches:")
            });
            Some(sleeps.sum())
        })
    }

    fn sum<T: std::iter::Sum>(self, of: impl Fn(Pid) -> Option<T>) -> T {
        self.all().into_iter().filter_map(of).sum()
    }

    fn all(self) -> Vec<Pid> {
        let mut all = vec![self.0];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.unwrap_or_default();
            let children = children.split_whitespace();
            all.extend(
                children
                    .filter_map(|pid| pid.parse().ok())
                    .map(Pid::from_raw),
            );
            next += 1;
        }
        all
    }
}

/// The number of processes started on this machine since boot.
pub(super) fn forks() -> Option<u64> {
    number(&fs::read_to_string("/proc/stat").ok()?, "processes ")
}

/// Returns the number after this key at the beginning of a line.
fn number(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Returns the size of the mappings of BPF maps and perf events, in KiB.
fn ring(smaps: &str) -> u64 {
    let mut is_ring = false;
    let mut sum = 0;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("Rss:") if is_ring => {
                sum += words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            Some(word) if word.ends_with(':') => {}
            // Columns: addresses, permissions, offset, device, inode, name.
            _ => {
                is_ring = matches!(
                    words.nth(4),
                    Some("anon_inode:bpf-map" | "anon_inode:[perf_event]")
                );
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Instant};

    use nix::sys::signal::{Signal, kill};

    use super::*;

    #[test]
    fn numbers() {
        let status = "Name:\tload\nVmHWM:\t    8412 kB\nvoluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(number(status, "VmHWM:"), Some(8412));
        assert_eq!(number(status, "voluntary_ctxt_switches:"), Some(15));
        assert_eq!(number(status, "VmSwap:"), None);
    }

    #[test]
    fn ring_buffers() {
        let smaps = "\
7f4e8e600000-7f4e8ee00000 r--s 00002000 00:0e 1050                       anon_inode:bpf-map
Size:               8192 kB
Rss:                 120 kB
VmFlags: rd sh mr mw me ms pf io dd
7f4e8f000000-7f4e8f001000 rw-s 00000000 00:0e 1050                       anon_inode:[perf_event]
Rss:                   4 kB
7f4e8f001000-7f4e8f002000 rw-p 00000000 00:00 0
Rss:                   8 kB
7f4e8f002000-7f4e8f003000 r-xp 00000000 fe:00 123                        /usr/bin/load
Rss:                  16 kB
";
        assert_eq!(ring(smaps), 124);
    }

    #[test]
    fn this_process() {
        let process = Process(Pid::this());
        let before = process.cpu();
        let mut sum = 0_u64;
        while process.cpu() < before + Duration::from_millis(3) {
            sum = std::hint::black_box(sum + 1);
        }
        let Memory { peak, ring } = process.memory();
        assert!(peak > 100 && ring == 0, "{peak} {ring}");
    }

    #[test]
    fn children_count() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 600; true"])
            .spawn()
            .unwrap();
        let process = Process(Pid::from_raw(shell.id() as i32));
        let deadline = Instant::now() + Duration::from_secs(60);
        while process.all().len() < 2 {
            assert!(Instant::now() < deadline, "the shell has started nothing");
            std::thread::yield_now();
        }
        for pid in process.all() {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        shell.wait().unwrap();
    }
}
