//! Loss: if the ring buffer is full, lost connections are counted, and reported with the time span of the loss.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::Ordering::Relaxed,
};

use jiff::Timestamp;
use lightmon_capture::{
    MAX_BATCH, Next, Source as _,
    ebpf::{EbpfSource, Options},
};
use lightmon_event::{Lost, Record, Stats};
use lightmon_thread::Stop;

use crate::monitor::options;

#[test]
#[ignore = "needs root: make test runs it"]
fn losses_are_exact() {
    const MADE: u64 = 5000;
    let mut source = EbpfSource::open(&Options {
        buffer_size: Some(64 << 10),
        ..options()
    })
    .unwrap();
    let before = Timestamp::now();
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = peer.local_addr().unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..MADE {
        socket.connect(address).unwrap();
    }

    let (stop, stats) = (Stop::new().unwrap(), Stats::default());
    stop.set();
    let (mut ours, mut others, mut lost) = (0, 0, Vec::<Lost>::new());
    loop {
        let mut batch = Vec::new();
        let next = source.next(&mut batch, MAX_BATCH, &stop, &stats).unwrap();
        for record in batch {
            match record {
                Record::Connection(event) if event.destination == address => ours += 1,
                Record::Connection(_) | Record::FromSelf(_) => others += 1,
                Record::Lost(it) => lost.push(it),
                _ => {}
            }
        }
        if next == Next::End {
            break;
        }
    }
    let connections: u64 = lost.iter().map(|it| it.connections).sum();
    assert!(connections > 0 && ours > 0);
    for it in &lost {
        assert!(it.since <= it.until && it.until >= before && it.until <= Timestamp::now());
    }
    // Includes lost connections of other processes of this machine.
    assert!(ours <= MADE && ours + connections >= MADE);
    assert_eq!(stats.lost_kernel.load(Relaxed), connections);
    assert_eq!(stats.seen.load(Relaxed), ours + others + connections);
    assert_eq!(
        source.counters().connections().unwrap(),
        ours + others + connections
    );
}
