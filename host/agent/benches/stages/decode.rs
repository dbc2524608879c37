//! Decoding: from the kernel program's bytes to records.

use lightmon_capture::ebpf::decode::{Clock, Tasks};

use crate::{
    bench::{BATCH, Bench},
    records,
};

pub(crate) fn stages(bench: &mut Bench<'_>) {
    bench.stage("decode", BATCH, || {
        let bytes: Vec<_> = (0..BATCH).map(records::connection).collect();
        let (clock, mut tasks) = (Clock::now(), Tasks::default());
        let decode = move |mut batch: Vec<_>| {
            for bytes in &bytes {
                batch.push(records::decode(bytes, &clock, &mut tasks));
            }
            batch
        };
        (|| Vec::with_capacity(BATCH), decode)
    });
}
