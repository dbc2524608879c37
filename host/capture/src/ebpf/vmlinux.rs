//! Reads the offsets that the kernel program needs from the BTF of the running kernel.
//!
//! The file has several megabytes. It is mapped where the kernel allows that (since Linux 6.16), and read otherwise.

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

use super::btf::Btf;

/// The BTF of the running kernel.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The offsets of the running kernel. Calls `missing` with the structure and member of each offset that BTF does not have.
///
/// # Errors
/// If there is no BTF (a kernel without CONFIG_DEBUG_INFO_BTF), or it can't be parsed.
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

/// The bytes of the file.
enum Bytes {
    Mapped(NonNull<c_void>, NonZero<usize>),
    Read(Vec<u8>),
}

impl Bytes {
    fn of_kernel() -> io::Result<Self> {
        let file = File::open(BTF_PATH)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        match NonZero::new(len).and_then(|len| Self::map(&file, len)) {
            Some(mapped) => Ok(mapped),
            None => fs::read(BTF_PATH).map(Self::Read),
        }
    }

    fn map(file: &File, len: NonZero<usize>) -> Option<Self> {
        let (read, private) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        #[expect(unsafe_code, reason = "the file must not change while it is mapped")]
        // SAFETY: the kernel never changes its BTF, and it chooses the address of the mapping.
        let start = unsafe { mmap(None, len, read, private, file, 0) };
        start.ok().map(|start| Self::Mapped(start, len))
    }

    fn get(&self) -> &[u8] {
        match self {
            #[expect(unsafe_code, reason = "as above")]
            // SAFETY: the mapping lives as long as `self`.
            Self::Mapped(start, len) => unsafe {
                slice::from_raw_parts(start.as_ptr().cast(), len.get())
            },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Self::Mapped(start, len) = self {
            #[expect(unsafe_code, reason = "as above")]
            // SAFETY: `get` borrows `self`, so there is no reference any more.
            let _ = unsafe { munmap(*start, len.get()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn running_kernel_has_all_members() {
        if !Path::new(BTF_PATH).exists() {
            return assert!(offsets(|_, _| ()).is_err());
        }
        let mut missing = Vec::new();
        let offsets = offsets(|structure, member| missing.push(format!("{structure}.{member}")));
        assert!(missing.is_empty(), "{missing:?}");
        // include/net/sock.h: the first member.
        assert_eq!(offsets.unwrap().sock_addrpair, 0);
        assert_eq!(
            Bytes::of_kernel().unwrap().get(),
            fs::read(BTF_PATH).unwrap()
        );
    }
}
