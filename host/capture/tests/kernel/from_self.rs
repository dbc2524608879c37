//! lightmon's own connections are recognised, and reported as [`Record::FromSelf`].

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Instant,
};

use lightmon_capture::{
    MAX_BATCH, Source as _,
    ebpf::{EbpfSource, Options},
};
use lightmon_event::{Record, Stats};
use lightmon_thread::Stop;

use crate::{
    monitor::{DEADLINE, closed_port, listen, options},
    raw,
};

/// The process of this test is lightmon, its child is not.
#[test]
#[ignore = "needs root: make test runs it"]
fn connections_from_self_are_marked() {
    let mut source = EbpfSource::open(&Options {
        report_self: false,
        ..options()
    })
    .unwrap();
    let (_listener, open) = listen(Ipv4Addr::LOCALHOST);
    let (_guard, closed) = closed_port(Ipv4Addr::LOCALHOST);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = peer.local_addr().unwrap();
    let connect = || {
        let _ = TcpStream::connect(open);
        let _ = TcpStream::connect(closed);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = socket.send_to(b"x", datagram);
    };
    connect();
    let child = raw::in_fork(connect);

    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    let (mut from_self, mut others) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + DEADLINE;
    while from_self.len() + others.len() < 6 {
        assert!(Instant::now() < deadline, "{from_self:?} {others:?}");
        let mut batch = Vec::new();
        source.next(&mut batch, MAX_BATCH, &stop, &stats).unwrap();
        for record in batch {
            let (list, event) = match record {
                Record::FromSelf(event) => (&mut from_self, event),
                Record::Connection(event) => (&mut others, event),
                _ => continue,
            };
            if [open, closed, datagram].contains(&event.destination) {
                list.push((event.pid, event.destination));
            }
        }
    }
    let all = |pid| [open, closed, datagram].map(|address: SocketAddr| (pid, address));
    assert_eq!(from_self, all(std::process::id()));
    assert_eq!(others, all(child));
}
