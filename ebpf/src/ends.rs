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

    /// To there; the own end is not known yet.
    #[inline(always)]
    pub fn to(peer: &Peer, protocol: u16) -> Self {
        Self {
            family: peer.family,
            source: if peer.family == AF_INET {
                MAPPED
            } else {
                [0; 16]
            },
            destination: peer.address,
            destination_port: peer.port,
            ..Self::unknown(protocol)
        }
    }

    /// Takes over what the kernel has, which user memory can't forge: both ends.
    #[inline(always)]
    pub fn read(&mut self, sk: u64) {
        let Some((peer, source, source_port)) = both(sk) else {
            return;
        };
        self.family = peer.family;
        self.destination = peer.address;
        self.destination_port = peer.port;
        self.source = source;
        self.source_port = source_port;
    }

    /// Likewise, the own end only: the socket has no peer.
    #[inline(always)]
    pub fn read_source(&mut self, sk: u64) {
        if let Some((_, source, source_port)) = both(sk) {
            self.source = source;
            self.source_port = source_port;
        }
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

/// What a socket is connected to, or is about to be; `None` when that can't be read.
#[inline(always)]
pub fn peer_of(sk: u64) -> Option<Peer> {
    both(sk).map(|(peer, ..)| peer)
}

/// A socket's peer, its own address and its own port.
#[inline(always)]
fn both(sk: u64) -> Option<(Peer, [u8; 16], u16)> {
    let at = offsets();
    let family = read(sk, at.sock_family);
    let (destination, source) = match family {
        0 => return None,
        AF_INET => {
            let [destination, source] = known(sk, at.sock_addrpair)?;
            (mapped(destination), mapped(source))
        }
        _ => (
            known(sk, at.sock_v6_daddr)?,
            known(sk, at.sock_v6_rcv_saddr)?,
        ),
    };
    let [port, source_port] = known(sk, at.sock_portpair)?;
    let peer = Peer {
        family,
        port: u16::from_be(port),
        address: destination,
    };
    Some((peer, source, source_port))
}

/// Reads a `struct sockaddr_in` (port at 2, address at 4) or `sockaddr_in6` (port at 2, address at 8) from user memory;
/// none of another family.
#[inline(always)]
pub fn peer_at(at: u64) -> Result<Option<Peer>, i32> {
    // SAFETY: the helper fails where user memory is not readable.
    let [family, port, a, b] = unsafe { bpf_probe_read_user(at as *const [u16; 4])? };
    let address = match family {
        AF_INET => {
            let ([a, b], [c, d]) = (a.to_ne_bytes(), b.to_ne_bytes());
            mapped([a, b, c, d])
        }
        // SAFETY: as above.
        AF_INET6 => unsafe { bpf_probe_read_user((at + 8) as *const [u8; 16])? },
        _ => return Ok(None),
    };
    Ok(Some(Peer {
        family,
        port: u16::from_be(port),
        address,
    }))
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
