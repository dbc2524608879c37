use std::{fs::OpenOptions, io::Read as _, os::unix::fs::OpenOptionsExt as _, thread};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::Mode,
    unistd::{mkfifo, pipe},
};

use super::*;

#[test]
fn append_waits_for_a_slow_reader() {
    for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
        let (read, write) = pipe().unwrap();
        fcntl(&write, FcntlArg::F_SETFL(flags)).unwrap();
        let reader = thread::spawn(move || {
            let mut all = String::new();
            File::from(read).read_to_string(&mut all).unwrap();
            all
        });
        // More than fits into a pipe.
        let lines = "0123456789abcde\n".repeat(1 << 16);
        let mut file = LineWriter::new(write.into(), false);
        let (written, result) = file.append(lines.as_bytes(), &|| false);
        result.unwrap();
        assert_eq!(written, lines.len());
        drop(file);
        assert!(reader.join().unwrap() == lines);
    }
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
    let mut file = LineWriter::new(File::create(&path).unwrap(), false);
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty())).unwrap();

    // The reader closes the pipe in the middle of a line that is longer than the pipe's buffer.
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
fn a_closed_reader_is_a_broken_pipe() {
    let (read, write) = pipe().unwrap();
    drop(read);
    let (written, result) = LineWriter::new(write.into(), false).append(b"line\n", &|| false);
    assert_eq!(
        (written, result.unwrap_err().kind()),
        (0, ErrorKind::BrokenPipe)
    );
}

#[test]
fn a_full_disk_is_an_error() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (written, result) = LineWriter::new(full, false).append(b"line\n", &|| false);
    assert_eq!(
        (written, result.unwrap_err().kind()),
        (0, ErrorKind::StorageFull)
    );
}
