//! The two ends of a connection, from the socket or from the address that a call was given.

use aya_ebpf::helpers::bpf_probe_read_user;

use crate::kernel::{known, offsets, read};

// include/linux/socket.h, include/uapi/linux/in.h
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;
pub const IPPROTO_UDP: u16 = 17;
pub const IPPROTO_MPTCP: u16 = 262;

/// The prefix of an IPv4-mapped address, RFC 4291 2.5.5.2.
pub const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// The ends of a connection, in the form of [`Connection`](lightmon_common::Connection).
#[derive(Clone, Copy)]
pub struct Ends {
    pub family: u16,
    pub protocol: u16,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
}

impl Ends {
    /// To be read from a socket.
    #[inline(always)]
    pub fn unknown(protocol: u16) -> Self {
        Self {
            family: 0,
            protocol,
            source: [0; 16],
            destination: [0; 16],
            source_port: 0,
            destination_port: 0,
        }
    }

    /// Takes over what the kernel has, which user memory can't forge: both ends.
    #[inline(always)]
    pub fn read(&mut self, sk: u64) {
        let family = self.read_source(sk);
        if family == 0 {
            return;
        }
        self.family = family;
        self.destination = destination_of(sk, family).unwrap_or(self.destination);
        self.destination_port = destination_port_of(sk).unwrap_or(self.destination_port);
    }

    /// Likewise, the own end only: the socket has no peer. Returns the socket's family, 0 when there is none to be read.
    #[inline(always)]
    pub fn read_source(&mut self, sk: u64) -> u16 {
        let at = offsets();
        let family = read(sk, at.sock_family);
        if family == 0 {
            return 0;
        }
        let source = if family == AF_INET {
            known(sk, at.sock_rcv_saddr).map(mapped)
        } else {
            known(sk, at.sock_v6_rcv_saddr)
        };
        self.source = source.unwrap_or(self.source);
        self.source_port = read(sk, at.sock_num);
        family
    }

    /// The other end.
    #[inline(always)]
    pub fn peer(&self) -> Peer {
        Peer {
            family: self.family,
            port: self.destination_port,
            address: self.destination,
        }
    }
}

/// Where a call connects or sends to.
#[derive(Default)]
pub struct Peer {
    pub family: u16,
    pub port: u16,
    pub address: [u8; 16],
}

/// What a socket is connected to, or is about to be.
#[inline(always)]
pub fn peer_of(sk: u64) -> Option<Peer> {
    let family = read(sk, offsets().sock_family);
    Some(Peer {
        family,
        port: destination_port_of(sk)?,
        address: destination_of(sk, family)?,
    })
}

#[inline(always)]
fn destination_of(sk: u64, family: u16) -> Option<[u8; 16]> {
    let at = offsets();
    if family == AF_INET {
        known(sk, at.sock_daddr).map(mapped)
    } else {
        known(sk, at.sock_v6_daddr)
    }
}

#[inline(always)]
fn destination_port_of(sk: u64) -> Option<u16> {
    known(sk, offsets().sock_dport).map(u16::from_be)
}

/// Reads a `struct sockaddr_in` (port at 2, address at 4) or `sockaddr_in6` (port at 2, address at 8) from user memory;
/// none of another family.
#[inline(always)]
pub fn peer_at(at: u64) -> Result<Option<Peer>, i32> {
    // SAFETY: the helper fails where user memory is not readable.
    let peer = unsafe {
        let family = bpf_probe_read_user(at as *const u16)?;
        let address = match family {
            AF_INET => mapped(bpf_probe_read_user((at + 4) as *const [u8; 4])?),
            AF_INET6 => bpf_probe_read_user((at + 8) as *const [u8; 16])?,
            _ => return Ok(None),
        };
        let port = u16::from_be(bpf_probe_read_user((at + 2) as *const u16)?);
        Peer {
            family,
            port,
            address,
        }
    };
    Ok(Some(peer))
}

#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let mut address = MAPPED;
    address[12] = v4[0];
    address[13] = v4[1];
    address[14] = v4[2];
    address[15] = v4[3];
    address
}
