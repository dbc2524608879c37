//! Where the running kernel keeps what the kernel program reads: its own type information tells.

use std::{
    ffi::c_void,
    fs::{self, File},
    io,
    num::NonZero,
    ptr::NonNull,
    slice,
};

use lightmon_common::Offsets;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::{btf::Btf, requirements::BTF};

/// What it tells. Calls `missing` for each member that this kernel does not have.
///
/// # Errors
/// When it tells nothing, as one without CONFIG_DEBUG_INFO_BTF, or nothing that is understood.
pub(super) fn offsets(mut missing: impl FnMut(&str, &str)) -> io::Result<Offsets> {
    let bytes = Bytes::of_kernel()?;
    let mut structures: Vec<_> = Offsets::MEMBERS.iter().map(|(name, _)| *name).collect();
    structures.sort_unstable();
    structures.dedup();
    let btf = Btf::parse(bytes.get(), &structures).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Offsets::resolve(|structure, member| {
        let offset = btf.offset_of(structure, member);
        if offset.is_none() {
            missing(structure, member);
        }
        offset
    }))
}

/// The kernel's file: several megabytes.
enum Bytes {
    /// Since Linux 6.16 nothing needs to be copied.
    Mapped(NonNull<c_void>, NonZero<usize>),
    Read(Vec<u8>),
}

impl Bytes {
    fn of_kernel() -> io::Result<Self> {
        let file = File::open(BTF)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        match NonZero::new(length).and_then(|length| Self::map(&file, length)) {
            Some(mapped) => Ok(mapped),
            None => fs::read(BTF).map(Self::Read),
        }
    }

    fn map(file: &File, length: NonZero<usize>) -> Option<Self> {
        let (read, private) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        #[expect(unsafe_code, reason = "a file that changed would change under us")]
        // SAFETY: this one does not, for as long as the system runs; the mapping is at a place that the kernel chooses.
        let start = unsafe { mmap(None, length, read, private, file, 0) };
        start.ok().map(|start| Self::Mapped(start, length))
    }

    fn get(&self) -> &[u8] {
        match self {
            #[expect(unsafe_code, reason = "as above")]
            // SAFETY: it is mapped for as long as `self` lives.
            Self::Mapped(start, length) => unsafe {
                slice::from_raw_parts(start.as_ptr().cast(), length.get())
            },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Self::Mapped(start, length) = self {
            #[expect(unsafe_code, reason = "as above")]
            // SAFETY: nobody has a reference to it any more.
            let _ = unsafe { munmap(*start, length.get()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_all() {
        if !std::path::Path::new(BTF).exists() {
            return assert!(offsets(|_, _| ()).is_err());
        }
        let mut missing = Vec::new();
        let offsets = offsets(|structure, member| missing.push(format!("{structure}.{member}")));
        assert!(missing.is_empty(), "{missing:?}");
        // include/net/sock.h: the first member.
        assert_eq!(offsets.unwrap().sock_addrpair, 0);
        assert_eq!(Bytes::of_kernel().unwrap().get(), fs::read(BTF).unwrap());
    }
}
