//! Creates a separate network whose loopback device has any number of addresses. Uses rtnetlink(7).

use std::{
    net::Ipv6Addr,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, ensure};
use nix::{
    errno::Errno,
    libc,
    sched::{CloneFlags, unshare},
    sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType},
};

/// The index of the loopback device: the first device of each network namespace.
const LO: u32 = 1;

/// Moves this process to a new network namespace, and brings its loopback device up.
///
/// # Errors
/// If the process has no `CAP_SYS_ADMIN`.
pub(crate) fn enter() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .context("make a network namespace: root's right (CAP_SYS_ADMIN) only")?;
    // struct ifinfomsg: family, padding, type, index, flags, mask of the flags to change
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    let message = [[0; 4], LO.to_ne_bytes(), up, up].concat();
    ask(libc::RTM_NEWLINK, &message).context("bring the loopback device up")
}

/// Makes the whole /64 of this address local with one route, without adding addresses.
///
/// # Errors
/// If the kernel has no IPv6.
pub(crate) fn add_network(address: Ipv6Addr) -> anyhow::Result<()> {
    let network = address.to_bits() & !u128::from(u64::MAX);
    // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags
    let route = [
        libc::AF_INET6 as u8,
        64,
        0,
        0,
        libc::RT_TABLE_LOCAL,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_HOST,
        libc::RTN_LOCAL,
    ];
    let message = [
        &route[..],
        &[0; 4],
        &attribute(libc::RTA_DST, &network.to_be_bytes()),
        &attribute(libc::RTA_OIF, &LO.to_ne_bytes()),
    ]
    .concat();
    ask(libc::RTM_NEWROUTE, &message).context("make more IPv6 addresses local")
}

/// Appends a struct rtattr: length, type, value. All values here are multiples of 4 bytes and need no padding.
fn attribute(ty: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    [&length.to_ne_bytes(), &ty.to_ne_bytes(), value].concat()
}

/// Sends a request and reads the kernel's answer.
fn ask(ty: u16, message: &[u8]) -> anyhow::Result<()> {
    let netlink: OwnedFd = socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE) as u16;
    // struct nlmsghdr: length, type, flags, sequence number, port
    let length = (16 + message.len()) as u32;
    let request = [
        &length.to_ne_bytes()[..],
        &ty.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
        message,
    ]
    .concat();
    socket::send(netlink.as_raw_fd(), &request, MsgFlags::empty())?;

    // The answer: a header, then struct nlmsgerr: the negative errno or 0, then the request
    let mut answer = [0; 512];
    let length = socket::recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    ensure!(length >= 20, "an answer of {length} bytes from the kernel");
    let code = [answer[16], answer[17], answer[18], answer[19]];
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(-errno).into()),
    }
}
