//! A mapping that this process owns.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::layout::WORD_BYTES;
use crate::memory::{AtomicWords, MappedWords, WritableWords};

/// Which object a mapping shows, whatever its name means by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// A mapped object. Unmaps on drop; never removes a name.
#[derive(Debug)]
pub struct Mapping {
    words: MappedWords,
    identity: Identity,
    /// What `words` looks at.
    mapped: Arc<Mapped>,
}

/// A range of addresses that is unmapped on drop.
#[derive(Debug)]
struct Mapped {
    base: NonNull<u64>,
    bytes: usize,
}

// SAFETY: the pages are mapped for the whole process, and any thread may unmap them.
unsafe impl Send for Mapped {}
// SAFETY: nothing can be done through a shared reference.
unsafe impl Sync for Mapped {}

/// A mapping that can only be read: a store through it would fault, so the type offers none. Its clones share the
/// mapping, which ends with the last of them.
#[derive(Debug)]
pub struct ReadOnlyMapping(Mapping);

impl Mapping {
    /// Maps `bytes` of the object behind `descriptor`, which must have that size, writable.
    pub(super) fn writable(fd: BorrowedFd<'_>, bytes: usize, identity: Identity) -> Result<Mapping, Errno> {
        Mapping::new(fd, 0, bytes, identity, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Maps `bytes` from `start` on, full pages of the object behind `descriptor`, writable.
    pub(super) fn writable_part(
        fd: BorrowedFd<'_>,
        start: usize,
        bytes: usize,
        identity: Identity,
    ) -> Result<Mapping, Errno> {
        Mapping::new(fd, start as u64, bytes, identity, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn new(
        fd: BorrowedFd<'_>,
        start: u64,
        bytes: usize,
        identity: Identity,
        prot: ProtFlags,
    ) -> Result<Mapping, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        let address = unsafe { mmap(ptr::null_mut(), bytes, prot, MapFlags::SHARED, fd, start) }?;
        let base = NonNull::new(address.cast::<u64>()).ok_or(Errno::NOMEM)?;
        Ok(Mapping::of(Arc::new(Mapped { base, bytes }), identity))
    }

    fn of(mapped: Arc<Mapped>, identity: Identity) -> Mapping {
        // SAFETY: the kernel returned a page-aligned mapping of `bytes` bytes, readable, which this value keeps by its
        // share of `mapped` until it is dropped, and hands out only as atomic words; `ReadOnlyMapping` offers no stores.
        // The object had that size when it was mapped, and no mapping is larger than `isize::MAX`; who truncates it
        // later makes accesses fault (documented in docs/protocol.md).
        let words = unsafe { MappedWords::new(mapped.base, mapped.bytes / WORD_BYTES) };
        Mapping { words, identity, mapped }
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }
}

impl ReadOnlyMapping {
    /// Maps `bytes` of the object behind `descriptor`, which must have that size, to look at.
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        bytes: usize,
        identity: Identity,
    ) -> Result<ReadOnlyMapping, Errno> {
        Mapping::new(fd, 0, bytes, identity, ProtFlags::READ).map(ReadOnlyMapping)
    }

    pub(super) fn identity(&self) -> Identity {
        self.0.identity
    }

    /// The address of the first word: for the test that a store through it faults.
    #[cfg(test)]
    pub(super) fn address(&self) -> *mut u64 {
        self.0.mapped.base.as_ptr()
    }
}

impl Clone for ReadOnlyMapping {
    fn clone(&self) -> ReadOnlyMapping {
        ReadOnlyMapping(Mapping::of(Arc::clone(&self.0.mapped), self.0.identity))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of that address and length, and whoever looks at its words has a share of this.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

// SAFETY: as of what it wraps, which is never replaced.
unsafe impl AtomicWords for Mapping {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self.words.words()
    }
}

// SAFETY: only `ReadOnlyMapping` maps them otherwise, and hides its `Mapping`.
unsafe impl WritableWords for Mapping {}

// SAFETY: as of what it wraps, which is never replaced.
unsafe impl AtomicWords for ReadOnlyMapping {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }
}
