//! UDP: connected and unconnected sockets.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
};

use lightmon_event::{Event, Outcome, Protocol};
use nix::{
    errno::Errno,
    sys::socket::{self, MsgFlags, SockaddrStorage},
};

use crate::{
    monitor::{LOOPBACK, Monitor, assert_is_me, in_new_network, ip},
    raw,
};

fn assert_is_datagram(event: &Event, outcome: Outcome, errno: Option<Errno>) {
    assert_is_me(event);
    assert_eq!(
        (event.protocol, event.outcome, event.errno),
        (Protocol::Udp, outcome, errno.map(|it| it as u16))
    );
}

#[test]
#[ignore = "needs root: make test runs it"]
fn udp_connect() {
    let monitor = Monitor::start();
    let mut addresses = Vec::new();
    for ip in LOOPBACK {
        let peer = UdpSocket::bind((ip, 0)).unwrap();
        let address = peer.local_addr().unwrap();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.send(b"x").unwrap();
        let event = monitor.to(address);
        assert_is_datagram(&event, Outcome::Connected, None);
        assert_eq!(event.source, socket.local_addr().unwrap());
        addresses.push(address);
    }
    assert_eq!(monitor.rest(&addresses), []);
}

/// The address is in a page that is not in memory yet: the kernel program can't read it when the call begins.
#[test]
#[ignore = "needs root: make test runs it"]
fn address_in_a_page_that_is_not_in_memory() {
    let monitor = Monitor::start();
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    raw::connect_untouched(&socket.into(), address).unwrap();
    assert_is_datagram(&monitor.to(address), Outcome::Connected, None);
    assert_eq!(monitor.rest(&[address]), []);
}

/// sendto(2), sendmsg(2) and sendmmsg(2) of unconnected sockets: one event a destination with the real source port, however many
/// datagrams are sent.
#[test]
#[ignore = "needs root: make test runs it"]
fn unconnected() {
    let monitor = Monitor::start();
    let mut all = Vec::new();
    for ip in LOOPBACK {
        let any: IpAddr = if ip.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let peers: Vec<_> = (0..5).map(|_| UdpSocket::bind((ip, 0)).unwrap()).collect();
        let to: Vec<_> = peers.iter().map(|it| it.local_addr().unwrap()).collect();
        let socket = UdpSocket::bind((any, 0)).unwrap();
        let local = socket.local_addr().unwrap();
        let fd = OwnedFd::from(socket.try_clone().unwrap());
        for _ in 0..10 {
            socket.send_to(b"x", to[0]).unwrap();
            let address = SockaddrStorage::from(to[1]);
            let parts = [std::io::IoSlice::new(b"x")];
            socket::sendmsg(
                fd.as_raw_fd(),
                &parts,
                &[],
                MsgFlags::empty(),
                Some(&address),
            )
            .unwrap();
            assert_eq!(raw::sendmmsg(&fd, &to).unwrap(), 5);
        }
        for address in &to {
            let event = monitor.to(*address);
            assert_is_datagram(&event, Outcome::Sent, None);
            assert_eq!(event.source, local);
        }
        all.extend(to);
    }
    assert_eq!(monitor.rest(&all), []);
}

#[test]
#[ignore = "needs root: make test runs it"]
fn unconnected_ipv4_mapped_is_reported_as_ipv4() {
    let monitor = Monitor::start();
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), address.port());
    let socket = UdpSocket::bind("[::]:0").unwrap();
    socket.send_to(b"x", mapped).unwrap();
    let event = monitor.to(address);
    assert_is_datagram(&event, Outcome::Sent, None);
    assert_eq!(event.source.port(), socket.local_addr().unwrap().port());
    assert_eq!(monitor.rest(&[address, mapped]), []);
}

/// Flows of different processes are different, even to the same destination.
#[test]
#[ignore = "needs root: make test runs it"]
fn each_process_has_its_own_flows() {
    let monitor = Monitor::start();
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let send = || {
        let _ = socket.send_to(b"x", address);
    };
    send();
    assert_is_datagram(&monitor.to(address), Outcome::Sent, None);
    for _ in 0..2 {
        let child = raw::in_fork(|| {
            send();
            send();
        });
        let event = monitor.to(address);
        assert_eq!((event.pid, event.outcome), (child, Outcome::Sent));
        assert_eq!(
            event.process.path.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
    }
    send();
    assert_eq!(monitor.rest(&[address]), []);
}

/// A failure is reported once, and does not hide a later success.
#[test]
#[ignore = "needs root: make test runs it"]
fn failure_does_not_hide_a_success() {
    in_new_network(|| {
        ip("route add prohibit 127.9.0.0/16 table local");
        let peer = UdpSocket::bind("0.0.0.0:0").unwrap();
        let address = SocketAddr::new([127, 9, 0, 1].into(), peer.local_addr().unwrap().port());
        let monitor = Monitor::start();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for _ in 0..3 {
            let error = socket.send_to(b"x", address).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::EACCES as i32));
        }
        assert_is_datagram(&monitor.to(address), Outcome::Denied, Some(Errno::EACCES));
        let connected = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(
            connected.connect(address).unwrap_err().raw_os_error(),
            Some(Errno::EACCES as i32)
        );
        assert_is_datagram(&monitor.to(address), Outcome::Denied, Some(Errno::EACCES));
        ip("route del prohibit 127.9.0.0/16 table local");
        for _ in 0..3 {
            socket.send_to(b"x", address).unwrap();
        }
        assert_is_datagram(&monitor.to(address), Outcome::Sent, None);
        assert_eq!(monitor.rest(&[address]), []);
    });
}
