use std::{fs::OpenOptions, io::Read as _, os::unix::fs::OpenOptionsExt as _, thread};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::Mode,
    unistd::{mkfifo, pipe},
};

use super::*;

#[test]
fn a_slow_reader_is_waited_for() {
    for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
        let (read, write) = pipe().unwrap();
        fcntl(&write, FcntlArg::F_SETFL(flags)).unwrap();
        let reader = thread::spawn(move || {
            let mut all = String::new();
            File::from(read).read_to_string(&mut all).unwrap();
            all
        });
        // More than a pipe holds.
        let lines = "0123456789abcde\n".repeat(1 << 16);
        let mut file = Lines::new(write.into(), false);
        let (written, result) = file.append(lines.as_bytes(), &|| false);
        result.unwrap();
        assert_eq!(written, lines.len());
        drop(file);
        assert!(reader.join().unwrap() == lines);
    }
}

#[test]
fn without_waiting_all_or_nothing() {
    let lines = |n: usize| "0123456789abcde\n".repeat(n).into_bytes();
    let (read, write) = pipe().unwrap();
    let file = Shared::new(Lines::never_blocking(write.into()).unwrap());
    assert!(file.append_now(&lines(PIPE_BUF / 16 + 1)).is_none());
    let mut taken = 0;
    while let Some((written, result)) = file.append_now(&lines(100)) {
        result.unwrap();
        assert_eq!(written, 1600);
        taken += written;
    }
    assert!(taken > 0, "full now");
    let busy = file.lock();
    assert!(file.append_now(b"line\n").is_none());
    drop(busy);
    let mut all = vec![0; taken];
    File::from(read).read_exact(&mut all).unwrap();
    assert_eq!(all, lines(taken / 16));
    assert!(matches!(
        file.append_now(b"line\n"),
        Some((0, Err(Error::Closed)))
    ));
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .unwrap();
    let mut file = Lines::new(File::create(&path).unwrap(), false);
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();

    // It leaves in the middle of a line that no pipe holds.
    let leaver = thread::spawn(move || (&reader).read_exact(&mut [0; 10]).unwrap());
    let (written, result) = file.append(&b"x".repeat(4 << 20), &|| false);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(written >= 10);
    leaver.join().unwrap();

    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&path)
        .unwrap();
    let mut rest = vec![0; written - 10];
    reader.read_exact(&mut rest).unwrap();
    let (written, result) = file.append(b"next\n", &|| false);
    result.unwrap();
    assert_eq!(written, 5);
    drop(file);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "\nnext\n");
}

#[test]
fn a_reader_that_has_gone_is_a_broken_pipe() {
    let (read, write) = pipe().unwrap();
    drop(read);
    let (written, result) = Lines::new(write.into(), false).append(b"line\n", &|| false);
    assert_eq!(
        (written, result.unwrap_err().kind()),
        (0, ErrorKind::BrokenPipe)
    );
}

#[test]
fn a_full_disk_is_an_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (written, result) = Lines::new(full, false).append(b"line\n", &|| false);
    assert_eq!(
        (written, result.unwrap_err().kind()),
        (0, ErrorKind::StorageFull)
    );
}
