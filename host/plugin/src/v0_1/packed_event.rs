//! Writes the events of a batch into the memory of a plugin, each event at once.
//!
//! The derived code writes field by field, and looks up the memory for each field. How much that costs per call is not measured yet.
#![expect(
    unsafe_code,
    reason = "wasmtime's traits are unsafe to implement: see SAFETY"
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

/// An [`Event`] that is written at once. For plugins it is the same type.
#[repr(transparent)]
pub(crate) struct PackedEvent<'a>(pub(super) Event<'a>);

// SAFETY: everything is from the derived implementation.
unsafe impl<'a> ComponentType for PackedEvent<'a> {
    type Lower = <Event<'a> as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = Event::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        Event::typecheck(ty, types)
    }
}

// SAFETY: everything is from the derived implementation, except for lists. For lists, all bytes of each event are written, its length
// is the one of `Event::ABI` (asserted below), and bounds are checked. A test compares the bytes with those of the derived code.
unsafe impl Lower for PackedEvent<'_> {
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
        events: &[Self],
    ) -> Result<()> {
        let record = match ty {
            InterfaceType::Record(record) => record,
            _ => bad_type_info(),
        };
        for (i, Self(event)) in events.iter().enumerate() {
            let at = at + i * EVENT_BYTES;
            write(event, cx.get(at));
            // Strings and lists are written by the derived code.
            if event.dname.is_some() {
                let ty = cx.types[record].fields[DNAME_INDEX].ty;
                event
                    .dname
                    .linear_lower_to_memory(cx, ty, at + DNAME_OFFSET)?;
            }
            if event.tags.is_some() {
                let ty = cx.types[record].fields[TAGS_INDEX].ty;
                event
                    .tags
                    .linear_lower_to_memory(cx, ty, at + TAGS_OFFSET)?;
            }
            if event.extra.is_some() {
                let ty = cx.types[record].fields[EXTRA_INDEX].ty;
                event
                    .extra
                    .linear_lower_to_memory(cx, ty, at + EXTRA_OFFSET)?;
            }
        }
        Ok(())
    }
}

// The layout of the record in the canonical ABI: each field is at a multiple of its alignment. An option is a byte, which is 1 if there
// is a value, and the value at a multiple of its alignment.
const EVENT_BYTES: usize = 136;
const DNAME_OFFSET: usize = 88;
const TAGS_OFFSET: usize = 100;
const EXTRA_OFFSET: usize = 112;
// The indexes of fields in the record.
const DNAME_INDEX: usize = 10;
const TAGS_INDEX: usize = 11;
const EXTRA_INDEX: usize = 12;
const _: () = assert!(Event::SIZE32 == EVENT_BYTES);

/// Writes all fields except for strings and lists, which become `none`.
fn write(event: &Event<'_>, to: &mut [u8; EVENT_BYTES]) {
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
    *to = [0; EVENT_BYTES];
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

fn put_ip(to: &mut [u8; EVENT_BYTES], at: usize, ip: &Ip) {
    put(to, at, ip.hi.to_le_bytes());
    put(to, at + 8, ip.lo.to_le_bytes());
}

/// The length of the value must be its alignment.
fn put_option<const N: usize>(to: &mut [u8; EVENT_BYTES], at: usize, bytes: Option<[u8; N]>) {
    if let Some(bytes) = bytes {
        to[at] = 1;
        put(to, at + N, bytes);
    }
}

#[inline(always)]
fn put<const N: usize>(to: &mut [u8; EVENT_BYTES], at: usize, bytes: [u8; N]) {
    to[at..at + N].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests;
