//! From the kernel program's bytes to records.

use lightmon::source::ebpf::decode::Clock;

use crate::{
    bench::{BATCH, Bench},
    records,
};

pub(crate) fn stages(bench: &mut Bench<'_>) {
    bench.stage("decode", BATCH, || {
        let bytes: Vec<_> = (0..BATCH).map(records::connection).collect();
        let clock = Clock::now();
        let decode = move |mut batch: Vec<_>| {
            batch.extend(bytes.iter().map(|bytes| records::decode(bytes, &clock)));
            batch
        };
        (|| Vec::with_capacity(BATCH), decode)
    });
}
