//! Writes a batch's events into a plugin's memory, each in one piece: field by field, as the derived code does it, wasmtime looks for
//! the memory once a field, which was half of what an event cost.
#![expect(
    unsafe_code,
    reason = "wasmtime's traits are unsafe to implement; what is written is only numbers"
)]

use std::mem::MaybeUninit;

use wasmtime::{
    Result,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext, bad_type_info},
        ComponentType, Lower,
    },
};

use super::{Event, Ip};

/// An [`Event`], and the same type to plugins.
#[repr(transparent)]
pub(crate) struct Row<'a>(pub(super) Event<'a>);

// SAFETY: all of it is the derived implementation's.
unsafe impl<'a> ComponentType for Row<'a> {
    type Lower = <Event<'a> as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = Event::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        Event::typecheck(ty, types)
    }
}

// SAFETY: the derived implementation's, but for lists: there each row is as long as `Event::ABI` says, all of its bytes are
// written, and bounds are checked.
unsafe impl Lower for Row<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        to: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.0.linear_lower_to_flat(cx, ty, to)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
    ) -> Result<()> {
        self.0.linear_lower_to_memory(cx, ty, at)
    }

    fn linear_store_list_to_memory<T>(
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        at: usize,
        rows: &[Self],
    ) -> Result<()> {
        let record = match ty {
            InterfaceType::Record(record) => record,
            _ => bad_type_info(),
        };
        for (i, Self(event)) in rows.iter().enumerate() {
            let at = at + i * LEN;
            write(event, cx.get(at));
            // What is on the heap goes the usual way.
            if event.dname.is_some() {
                let ty = cx.types[record].fields[10].ty;
                event.dname.linear_lower_to_memory(cx, ty, at + DNAME)?;
            }
            if event.tags.is_some() {
                let ty = cx.types[record].fields[11].ty;
                event.tags.linear_lower_to_memory(cx, ty, at + TAGS)?;
            }
            if event.extra.is_some() {
                let ty = cx.types[record].fields[12].ty;
                event.extra.linear_lower_to_memory(cx, ty, at + EXTRA)?;
            }
        }
        Ok(())
    }
}

// Where fields are, as the canonical ABI lays a record out: each at a multiple of its alignment. An option is a byte, 1 when
// there is something, and that something at its own alignment.
const LEN: usize = 136;
const DNAME: usize = 88;
const TAGS: usize = 100;
const EXTRA: usize = 112;
const _: () = assert!(Event::SIZE32 == LEN);

/// All but what is on the heap, which is `none` here.
fn write(event: &Event<'_>, to: &mut [u8; LEN]) {
    let Event {
        time,
        latency,
        source,
        destination,
        pid,
        tid,
        uid,
        gid,
        process,
        container,
        dname: _,
        tags: _,
        extra: _,
        source_port,
        destination_port,
        errno,
        kind,
        protocol,
        outcome,
    } = event;
    *to = [0; LEN];
    put(to, 0, time.to_le_bytes());
    put_option(to, 8, latency.map(u64::to_le_bytes));
    put_ip(to, 24, source);
    put_ip(to, 40, destination);
    put(to, 56, pid.to_le_bytes());
    put(to, 60, tid.to_le_bytes());
    put(to, 64, uid.to_le_bytes());
    put(to, 68, gid.to_le_bytes());
    put_option(to, 72, process.map(u32::to_le_bytes));
    put_option(to, 80, container.map(u32::to_le_bytes));
    put(to, 124, source_port.to_le_bytes());
    put(to, 126, destination_port.to_le_bytes());
    put(to, 128, errno.to_le_bytes());
    to[130] = *kind;
    to[131] = *protocol;
    to[132] = *outcome;
}

fn put_ip(to: &mut [u8; LEN], at: usize, ip: &Ip) {
    put(to, at, ip.hi.to_le_bytes());
    put(to, at + 8, ip.lo.to_le_bytes());
}

/// The payload is as long as it is aligned.
fn put_option<const N: usize>(to: &mut [u8; LEN], at: usize, bytes: Option<[u8; N]>) {
    if let Some(bytes) = bytes {
        to[at] = 1;
        put(to, at + N, bytes);
    }
}

#[inline(always)]
fn put<const N: usize>(to: &mut [u8; LEN], at: usize, bytes: [u8; N]) {
    to[at..at + N].copy_from_slice(&bytes);
}
