//! Mappings of objects: the words of an object in this process's memory.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use rustix::process::{Resource, getrlimit};

use super::huge_pages::huge_page_bytes;
use super::this_process::OfThisProcess;
use crate::layout::{PAGE_BYTES, WORD_BYTES};
use crate::memory::{ObjectId, ReadOnlyWords, SharedWords, Words, WordsOwner};

/// The number of mappings of this process.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The writable mappings that this process shares. They live no longer than the words of them that
/// are in use. A fork has a list of its own: it could inherit this one locked.
static SHARED: OfThisProcess<Mutex<Vec<Weak<Mapping>>>> = OfThisProcess::new();

/// The part of a limit that this room leaves to the rest of the process: a sixteenth. A process at
/// a limit of mappings or addresses can't allocate memory either, and aborts.
const REST: usize = 16;

/// The most mappings that this room makes.
fn max_live() -> usize {
    /// The kernel's default.
    const DEFAULT: usize = 65_530;
    static MAX: OnceLock<usize> = OnceLock::new();
    *MAX.get_or_init(|| {
        #[cfg(test)]
        if let Some(max) = std::env::var("TEARLESS_TEST_MAX_MAPPINGS").ok().and_then(|max| max.parse().ok()) {
            return max;
        }
        let known = first_number("/proc/sys/vm/max_map_count").unwrap_or(DEFAULT);
        known - known.div_ceil(REST)
    })
}

/// The number that a file begins with.
fn first_number(path: &str) -> Option<usize> {
    std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Whether this process has so many mappings that what needs not be mapped should be let go of.
/// What can't let go of anything still maps for a while.
pub(crate) fn are_scarce() -> bool {
    LIVE.load(Ordering::Relaxed) >= max_live() - max_live() / (8 * REST)
}

/// Whether `bytes` more would take the last addresses that the process may have (`ulimit -v`).
fn exceeds_addresses(bytes: usize) -> bool {
    /// As it is at the first mapping; `None` without a limit, as usual.
    static LIMIT: OnceLock<Option<usize>> = OnceLock::new();
    let limit = LIMIT.get_or_init(|| usize::try_from(getrlimit(Resource::As).current?).ok());
    let Some(limit) = *limit else { return false };
    let used = first_number("/proc/self/statm").unwrap_or(0).saturating_mul(page_bytes());
    used.saturating_add(bytes) > limit - limit.div_ceil(REST)
}

/// Writable mappings of more than a page and up to this many bytes are made with all their pages: a
/// writer touches all of a small object, and no publication has to wait for a fault. A single page
/// is touched at once, and a fault costs less than asking for the page.
pub(super) const POPULATED: usize = 8 * PAGE_BYTES;

/// The largest pages of kernels, which map files only from a multiple of their page on: x86-64 has
/// pages of 4 KiB, arm64 of 4, 16 or 64.
const MAX_PAGE_BYTES: usize = 64 << 10;

/// Bytes of this kernel's pages.
pub(super) fn page_bytes() -> usize {
    // SAFETY: takes and returns numbers.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(MAX_PAGE_BYTES)
}

/// Addresses for a mapping that may have huge pages: from a multiple of their size on.
struct Room {
    start: *mut c_void,
    bytes: usize,
    aligned: *mut c_void,
}

impl Room {
    /// `None` for a mapping that can have no huge page, or if there is no room: then the kernel
    /// chooses the address.
    fn reserve(start: usize, bytes: usize) -> Option<Room> {
        // The file that says how large they are is read only for what may have some.
        let huge = (bytes >= LARGE).then(huge_page_bytes).flatten()?;
        if bytes < huge || !start.is_multiple_of(huge) {
            return None;
        }
        let all = bytes.next_multiple_of(page_bytes()) + huge;
        // SAFETY: a new mapping at an address of the kernel's choice. Its pages have no use yet.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), all, ProtFlags::empty(), MapFlags::PRIVATE) }.ok()?;
        Some(Room { start, bytes: all, aligned: start.map_addr(|address| address.next_multiple_of(huge)) })
    }

    /// Unmaps what is before and behind a mapping of so many bytes at the aligned address. If that
    /// has failed, its addresses stay reserved: the kernel may have given them to another thread.
    fn trim(self, bytes: usize) {
        let before = self.aligned.addr() - self.start.addr();
        let behind = before + bytes.next_multiple_of(page_bytes());
        for part in [0..before, behind..self.bytes].into_iter().filter(|part| !part.is_empty()) {
            // SAFETY: a part of the room, which no mapping has replaced.
            let _ = unsafe { munmap(self.start.wrapping_byte_add(part.start), part.len()) };
        }
    }
}

/// No huge page is smaller.
const LARGE: usize = 1 << 20;

/// A range of addresses that shows an object. Unmapped on drop; never removes a name.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u64>,
    bytes: usize,
    object: ObjectId,
    /// Where in the object it begins.
    start: usize,
}

// SAFETY: the pages are mapped for the whole process, and any thread may unmap them.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives no access to anything that changes.
unsafe impl Sync for Mapping {}

impl WordsOwner for Mapping {
    fn object(&self) -> ObjectId {
        self.object
    }

    /// Readers of this process map the object for themselves, read-only.
    fn has_readers(&self) -> bool {
        false
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the mapping is ours, has that address and length, and every `SharedWords` of it
        // holds a share of this value.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Maps the first `bytes` of the object behind `fd`, which must have them, writable.
pub(super) fn writable(fd: BorrowedFd<'_>, bytes: usize, object: ObjectId) -> Result<Words, Errno> {
    let mapping = Mapping::new(fd, 0, bytes, object, ProtFlags::READ | ProtFlags::WRITE)?;
    // SAFETY: mapped writable.
    Ok(unsafe { Arc::new(mapping).words() })
}

/// The words of `bytes` from `start` on, full pages of the layout in the object behind `fd`,
/// writable: of a mapping that this process shares, if one has them all, and else of a new one.
/// Larger `pages`, of the kernel or of the object's file system, are mapped as a whole.
///
/// Every kernel takes the same steps: the mapping begins where the largest pages do, and what
/// precedes the page of `start` is unmapped.
pub(super) fn shared(
    fd: BorrowedFd<'_>,
    start: usize,
    bytes: usize,
    object: ObjectId,
    pages: usize,
) -> Result<Words, Errno> {
    // A panic under the lock leaves a list that is whole.
    let mut shared = SHARED.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let has_all =
        |it: &Arc<Mapping>| it.object == object && it.start <= start && start + bytes <= it.start + it.bytes;
    let mapping = match shared.iter().filter_map(Weak::upgrade).find(has_all) {
        Some(mapping) => mapping,
        None => {
            let before = start % pages.max(MAX_PAGE_BYTES);
            let (all, access) = (before + bytes, ProtFlags::READ | ProtFlags::WRITE);
            let all = all.next_multiple_of(pages);
            let mut mapping = Mapping::new(fd, start - before, all, object, access)?;
            mapping.unmap_front(before - before % pages);
            let mapping = Arc::new(mapping);
            shared.retain(|mapping| mapping.strong_count() > 0);
            shared.push(Arc::downgrade(&mapping));
            mapping
        }
    };
    let first = (start - mapping.start) / WORD_BYTES;
    // SAFETY: mapped writable, as all in the list.
    let words = unsafe { mapping.words() };
    words.part(first, bytes / WORD_BYTES).ok_or(Errno::INVAL)
}

/// Maps `bytes` of the object behind `fd`, which must have that size, read-only.
pub(super) fn read_only(fd: BorrowedFd<'_>, bytes: usize, object: ObjectId) -> Result<ReadOnlyWords, Errno> {
    let mapping = Mapping::new(fd, 0, bytes, object, ProtFlags::READ)?;
    // SAFETY: read-only words need not be writable.
    Ok(unsafe { Arc::new(mapping).words() })
}

/// Gives memory to words of a mapping, and keeps it; an error if there is none, where a load would
/// fault. `INVAL` before Linux 5.14.
pub(super) fn populate(words: &ReadOnlyWords) -> Result<(), Errno> {
    let first = words.words().as_ptr();
    let before = first.addr() % page_bytes();
    let bytes = before + size_of_val(words.words());
    // SAFETY: the range begins on the page of the first word, which is mapped, and ends with the
    // last one. The advice changes nothing that the mapping shows.
    unsafe { madvise(first.wrapping_byte_sub(before).cast_mut().cast(), bytes, Advice::LinuxPopulateRead) }
}

impl Mapping {
    fn new(
        fd: BorrowedFd<'_>,
        start: usize,
        bytes: usize,
        object: ObjectId,
        protection: ProtFlags,
    ) -> Result<Mapping, Errno> {
        if LIVE.load(Ordering::Relaxed) >= max_live() || exceeds_addresses(bytes) {
            return Err(Errno::NOMEM);
        }
        let touches_all = bytes > PAGE_BYTES && bytes <= POPULATED && protection.contains(ProtFlags::WRITE);
        let populate = if touches_all { MapFlags::POPULATE } else { MapFlags::empty() };
        let flags = MapFlags::SHARED | populate;
        let room = Room::reserve(start, bytes);
        let fixed = if room.is_some() { MapFlags::FIXED } else { MapFlags::empty() };
        let wanted = room.as_ref().map_or(ptr::null_mut(), |room| room.aligned);
        // SAFETY: without `FIXED` a new mapping replaces nothing, and with it a part of the room,
        // which is of no use for anything else.
        let address = unsafe { mmap(wanted, bytes, protection, flags | fixed, fd, start as u64) };
        if let Some(room) = room {
            room.trim(bytes);
        }
        let address = address?;
        let base = NonNull::new(address.cast::<u64>()).ok_or(Errno::NOMEM)?;
        // Relaxed: the number orders nothing.
        LIVE.fetch_add(1, Ordering::Relaxed);
        if bytes > PAGE_BYTES {
            // A core dump holds no large objects, whether they still have names or not. A page is
            // not worth the call, of which a hub would make one for each channel.
            // SAFETY: the mapping is ours and of that length; the advice changes nothing it shows.
            let _ = unsafe { madvise(address, bytes, Advice::LinuxDontDump) };
        }
        Ok(Mapping { base, bytes, object, start })
    }

    /// Unmaps the first `bytes`: full pages of the kernel, less than all. If the kernel refuses,
    /// they stay mapped.
    fn unmap_front(&mut self, bytes: usize) {
        assert!(bytes < self.bytes && bytes.is_multiple_of(page_bytes()), "full pages, less than all");
        let Some(rest) = NonNull::new(self.base.as_ptr().wrapping_byte_add(bytes)) else { return };
        // SAFETY: the bytes are full pages (the assertion), so the kernel unmaps no others; they
        // belong to the mapping, which is ours, and no words refer to them yet.
        if bytes > 0 && unsafe { munmap(self.base.as_ptr().cast(), bytes) }.is_ok() {
            (self.base, self.bytes, self.start) = (rest, self.bytes - bytes, self.start + bytes);
        }
    }

    /// # Safety
    ///
    /// If `WRITABLE`, the mapping must be writable.
    unsafe fn words<const WRITABLE: bool>(self: Arc<Self>) -> SharedWords<WRITABLE> {
        let (base, words) = (self.base, self.bytes / WORD_BYTES);
        // SAFETY: the kernel returned a page-aligned mapping of `bytes` bytes, readable, and
        // writable if `WRITABLE` (the caller's promise). The mapping lives as long as its owner,
        // and is accessed only as atomic words. The object had that size when it was mapped, and no
        // mapping is larger than `isize::MAX`. If a process truncates the object later, accesses
        // fault (documented in docs/protocol.md).
        unsafe { SharedWords::new(base, words, self) }
    }
}
