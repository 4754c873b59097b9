//! Mappings of objects: the words of an object in this process's memory.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::layout::WORD_BYTES;
use crate::memory::{ObjectId, ReadOnlyWords, SharedWords, Words, WordsOwner};

/// A range of addresses that shows an object. Unmapped on drop; never removes a name.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u64>,
    bytes: usize,
    object: ObjectId,
}

// SAFETY: the pages are mapped for the whole process, and any thread may unmap them.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives no access to anything that changes.
unsafe impl Sync for Mapping {}

impl WordsOwner for Mapping {
    fn object(&self) -> ObjectId {
        self.object
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, has that address and length, and every `SharedWords` of it
        // holds a share of this value.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Maps `bytes` of the object behind `fd`, which must have that size, writable.
pub(super) fn writable(fd: BorrowedFd<'_>, bytes: usize, object: ObjectId) -> Result<Words, Errno> {
    writable_part(fd, 0, bytes, object)
}

/// Maps `bytes` from `start` on, full pages of the object behind `fd`, writable.
pub(super) fn writable_part(
    fd: BorrowedFd<'_>,
    start: usize,
    bytes: usize,
    object: ObjectId,
) -> Result<Words, Errno> {
    let mapping = Mapping::new(fd, start as u64, bytes, object, ProtFlags::READ | ProtFlags::WRITE)?;
    // SAFETY: mapped writable.
    Ok(unsafe { mapping.into_words() })
}

/// Maps `bytes` of the object behind `fd`, which must have that size, read-only.
pub(super) fn read_only(fd: BorrowedFd<'_>, bytes: usize, object: ObjectId) -> Result<ReadOnlyWords, Errno> {
    let mapping = Mapping::new(fd, 0, bytes, object, ProtFlags::READ)?;
    // SAFETY: read-only words need not be writable.
    Ok(unsafe { mapping.into_words() })
}

impl Mapping {
    fn new(
        fd: BorrowedFd<'_>,
        start: u64,
        bytes: usize,
        object: ObjectId,
        protection: ProtFlags,
    ) -> Result<Mapping, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let address = unsafe { mmap(ptr::null_mut(), bytes, protection, MapFlags::SHARED, fd, start) }?;
        let base = NonNull::new(address.cast::<u64>()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { base, bytes, object })
    }

    /// # Safety
    ///
    /// If `WRITABLE`, the mapping must be writable.
    unsafe fn into_words<const WRITABLE: bool>(self) -> SharedWords<WRITABLE> {
        let (base, words) = (self.base, self.bytes / WORD_BYTES);
        // SAFETY: the kernel returned a page-aligned mapping of `bytes` bytes, readable, and
        // writable if `WRITABLE` (the caller's promise). The mapping lives as long as its owner,
        // and is accessed only as atomic words. The object had that size when it was mapped, and no
        // mapping is larger than `isize::MAX`. If a process truncates the object later, accesses
        // fault (documented in docs/protocol.md).
        unsafe { SharedWords::new(base, words, Arc::new(self)) }
    }
}
