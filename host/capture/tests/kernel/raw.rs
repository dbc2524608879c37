//! System calls that have no safe wrapper.
#![expect(unsafe_code, reason = "these calls have no safe wrapper")]

use std::{
    fs::File,
    io,
    mem::{size_of, zeroed},
    net::SocketAddr,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use nix::{
    libc,
    sys::socket::{SockaddrLike as _, SockaddrStorage},
};

pub(crate) const IPPROTO_MPTCP: i32 = 262;

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is new and has no other owner.
    check(unsafe { libc::socket(family, kind, protocol) })
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// connect(2) with an address in a page that is not in memory yet.
pub(crate) fn connect_untouched(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let address = SockaddrStorage::from(address);
    let file = tempfile::tempfile()?;
    // SAFETY: the slice has the length of the address, and the mapping is a page of a file that holds it.
    unsafe {
        let bytes = std::slice::from_raw_parts(address.as_ptr().cast(), address.len() as usize);
        nix::unistd::write(&file, bytes)?;
        let page = libc::mmap(
            ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        let result = libc::connect(fd.as_raw_fd(), page.cast(), address.len());
        let result = check(result).map(|_| ());
        libc::munmap(page, 4096);
        result
    }
}

/// sendmmsg(2): sends a byte to each address, and returns how many were sent.
pub(crate) fn sendmmsg(fd: &OwnedFd, addresses: &[SocketAddr]) -> io::Result<usize> {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|it| SockaddrStorage::from(*it))
        .collect();
    let mut byte = *b"x";
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut messages: Vec<libc::mmsghdr> = addresses
        .iter()
        .map(|address| {
            // SAFETY: all fields are numbers and pointers, for which zeros are valid.
            let mut message: libc::mmsghdr = unsafe { zeroed() };
            message.msg_hdr.msg_name = address.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = address.len();
            message.msg_hdr.msg_iov = &raw mut part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    // SAFETY: all that the messages point to lives until the end of this function.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            messages.len() as u32,
            0,
        )
    };
    check(sent).map(|sent| sent as usize)
}

/// Runs `child` in a forked process that does not call exec, and waits for its end. `child` must make system calls only.
pub(crate) fn in_fork(child: impl FnOnce()) -> u32 {
    let pid = fork(child);
    wait(pid);
    pid
}

/// As [`in_fork`], without waiting.
pub(crate) fn fork(child: impl FnOnce()) -> u32 {
    // SAFETY: the child makes system calls only, and then ends without running any destructor.
    match unsafe { libc::fork() } {
        0 => {
            let result = catch_unwind(AssertUnwindSafe(child));
            unsafe { libc::_exit(result.is_err().into()) }
        }
        pid => check(pid).unwrap() as u32,
    }
}

/// Waits until a child has ended with success.
pub(crate) fn wait(pid: u32) {
    let (pid, mut status) = (pid as i32, 0);
    // SAFETY: the process is a child of this one.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}

/// Closes all files except this one, so that a long-lived child does not keep files of other tests open.
pub(crate) fn keep_only(file: &OwnedFd) {
    let fd = file.as_raw_fd() as libc::c_uint;
    let ranges = [(3, fd - 1), (fd + 1, libc::c_uint::MAX)];
    for (first, last) in ranges.into_iter().filter(|(first, last)| first <= last) {
        // SAFETY: a child that makes system calls only uses no other file.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        check(result as i32).unwrap();
    }
}

/// Changes the user of the calling thread only. libc would change the user of all threads.
pub(crate) fn become_user(uid: u32) {
    // SAFETY: no memory involved.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    check(result as i32).unwrap();
}

extern "C" fn ignore(_: libc::c_int) {}

/// Makes SIGUSR1 interrupt system calls (EINTR), without any other effect.
pub(crate) fn interrupt_by_sigusr1() {
    // SAFETY: the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()),
            0
        );
    }
}

/// Sends SIGUSR1 to a thread of this process.
pub(crate) fn signal_thread(tid: i32) {
    // SAFETY: no memory involved.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            std::process::id() as i32,
            tid,
            libc::SIGUSR1,
        )
    };
}

/// A network interface whose packets are read from and written to the file.
pub(crate) fn tun(name: &str) -> File {
    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    // SAFETY: a struct ifreq, as TUNSETIFF takes it (netdevice(7), Documentation/networking/tuntap.rst).
    unsafe {
        let mut request: libc::ifreq = zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        check(libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request)).unwrap();
    }
    file
}

/// Connects with IORING_OP_CONNECT. Returns 0 or a negative errno.
pub(crate) fn io_uring_connect(fd: RawFd, address: SocketAddr) -> i32 {
    let address = SockaddrStorage::from(address);
    let mut ring = io_uring::IoUring::new(2).unwrap();
    let entry = io_uring::opcode::Connect::new(
        io_uring::types::Fd(fd),
        address.as_ptr().cast(),
        address.len(),
    );
    // SAFETY: the address lives until the completion has come.
    unsafe { ring.submission().push(&entry.build()).unwrap() };
    ring.submit_and_wait(1).unwrap();
    ring.completion().next().unwrap().result()
}

/// Attaches a program to a cgroup that refuses each connect(2) over IPv4 with EPERM. It is detached when the cgroup is removed.
pub(crate) fn deny_connect(cgroup: &File) {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_ATTACH: i32 = 8;
    const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
    const BPF_CGROUP_INET4_CONNECT: u32 = 10;
    // r0 = 0; exit
    let program: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

    /// The start of `union bpf_attr` for BPF_PROG_LOAD, include/uapi/linux/bpf.h.
    #[repr(C)]
    struct Load {
        kind: u32,
        instructions: u32,
        program: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        ifindex: u32,
        attach_type: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        attach_type: u32,
        flags: u32,
    }
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        instructions: 2,
        program: program.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
        ifindex: 0,
        attach_type: BPF_CGROUP_INET4_CONNECT,
    };
    // SAFETY: bpf(2) reads the structures only, and returns a new descriptor.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<Load>(),
        );
        let fd = OwnedFd::from_raw_fd(check(fd as i32).unwrap());
        let attach = Attach {
            target: cgroup.as_raw_fd() as u32,
            program: fd.as_raw_fd() as u32,
            attach_type: BPF_CGROUP_INET4_CONNECT,
            flags: 0,
        };
        let result = libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        );
        check(result as i32).unwrap();
    }
}
