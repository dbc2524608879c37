//! The endpoints of a connection, read from its socket or from the address that a system call was given.

use aya_ebpf::helpers::bpf_probe_read_user;

use crate::kernel::{offsets, read_or_zero, try_read};

// include/linux/socket.h, include/uapi/linux/in.h
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;
pub const IPPROTO_UDP: u16 = 17;
pub const IPPROTO_MPTCP: u16 = 262;

/// The prefix of an IPv4-mapped address, RFC 4291 2.5.5.2.
pub const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// Source and destination of a connection, in the form of [`Connection`](lightmon_common::Connection).
#[derive(Clone, Copy)]
pub struct Endpoints {
    pub family: u16,
    pub protocol: u16,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: u16,
    pub destination_port: u16,
}

impl Endpoints {
    /// No address is known yet.
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

    /// The destination is known, the source is not known yet.
    #[inline(always)]
    pub fn to(destination: &Destination, protocol: u16) -> Self {
        Self {
            family: destination.family,
            source: if destination.family == AF_INET {
                MAPPED
            } else {
                [0; 16]
            },
            destination: destination.address,
            destination_port: destination.port,
            ..Self::unknown(protocol)
        }
    }

    /// The endpoints of a TCP socket, which may be closed already.
    #[inline(always)]
    pub fn of_tcp(sk: u64) -> Self {
        let mut endpoints = Self::unknown(IPPROTO_TCP);
        endpoints.read(sk);
        if endpoints.source_port == 0 {
            // A closed socket has given back its port, but still has it here.
            endpoints.source_port = u16::from_be(read_or_zero(sk, offsets().inet_sport));
        }
        endpoints
    }

    /// Reads source and destination from a socket. Unlike user memory, the process can't forge them.
    #[inline(always)]
    pub fn read(&mut self, sk: u64) {
        let Some((destination, source, source_port)) = read_both(sk) else {
            return;
        };
        self.family = destination.family;
        self.destination = destination.address;
        self.destination_port = destination.port;
        self.source = source;
        self.source_port = source_port;
    }

    /// Reads the source only, from an unconnected socket.
    #[inline(always)]
    pub fn read_source(&mut self, sk: u64) {
        if let Some((_, source, source_port)) = read_both(sk) {
            self.source = source;
            self.source_port = source_port;
        }
    }
}

/// Where a system call connects or sends to.
#[derive(Default)]
pub struct Destination {
    pub family: u16,
    pub port: u16,
    pub address: [u8; 16],
}

impl Destination {
    /// The destination among these endpoints.
    #[inline(always)]
    pub fn of(endpoints: &Endpoints) -> Self {
        Self {
            family: endpoints.family,
            port: endpoints.destination_port,
            address: endpoints.destination,
        }
    }

    /// What a socket is connected to, or is about to be; `None` if that can't be read.
    #[inline(always)]
    pub fn of_socket(sk: u64) -> Option<Self> {
        read_both(sk).map(|(destination, ..)| destination)
    }

    /// Reads a `struct sockaddr_in` (port at 2, address at 4) or `sockaddr_in6` (port at 2, address at 8) from user memory.
    /// `None` for another family.
    #[inline(always)]
    pub fn read_user(sockaddr: u64) -> Result<Option<Self>, i32> {
        // SAFETY: the helper fails if user memory is not readable.
        let [family, port, a, b] = unsafe { bpf_probe_read_user(sockaddr as *const [u16; 4])? };
        let address = match family {
            AF_INET => {
                let ([a, b], [c, d]) = (a.to_ne_bytes(), b.to_ne_bytes());
                mapped([a, b, c, d])
            }
            // SAFETY: as above.
            AF_INET6 => unsafe { bpf_probe_read_user((sockaddr + 8) as *const [u8; 16])? },
            _ => return Ok(None),
        };
        Ok(Some(Self {
            family,
            port: u16::from_be(port),
            address,
        }))
    }
}

/// Destination, source address and source port of a socket.
#[inline(always)]
fn read_both(sk: u64) -> Option<(Destination, [u8; 16], u16)> {
    let at = offsets();
    let family = read_or_zero(sk, at.sock_family);
    let (address, source) = match family {
        0 => return None,
        AF_INET => {
            let [address, source] = try_read(sk, at.sock_addrpair)?;
            (mapped(address), mapped(source))
        }
        _ => (
            try_read(sk, at.sock_v6_daddr)?,
            try_read(sk, at.sock_v6_rcv_saddr)?,
        ),
    };
    let [port, source_port] = try_read(sk, at.sock_portpair)?;
    let destination = Destination {
        family,
        port: u16::from_be(port),
        address,
    };
    Some((destination, source, source_port))
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
