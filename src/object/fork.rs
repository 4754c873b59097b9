//! Detects whether this process is a fork of the one that made a token, for the price of one load.
//!
//! A page that the kernel zeroes in a forked child (`MADV_WIPEONFORK`, Linux 4.14) holds a random
//! number of the process. A pid would not do: a descendant may have the same one. Besides, `getpid`
//! would cost a system call per publish.

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::layout::PAGE_BYTES;

/// Belongs to the process that took it, not to its forks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForkToken {
    /// `None` if the kernel has no such page: then each check queries the pid.
    page: Option<&'static AtomicU64>,
    /// The number on the page of the process that took it.
    process: u64,
    pid: u64,
}

impl ForkToken {
    /// A token of this process.
    pub(crate) fn take() -> ForkToken {
        static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
        let page = *PAGE.get_or_init(wiped_page);
        let pid = u64::from(std::process::id());
        let process = page.map_or(pid, number_of_this_process);
        ForkToken { page, process, pid }
    }

    /// A token of some other process.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_another_process() -> ForkToken {
        let pid = u64::from(std::process::id()) ^ (1 << 40);
        ForkToken { page: None, process: pid, pid }
    }

    /// The pid of the process that took it.
    pub(crate) fn pid(self) -> u64 {
        self.pid
    }

    /// Whether this is the process that took it.
    #[inline]
    pub(crate) fn is_ours(self) -> bool {
        match self.page {
            // Relaxed: the number was stored before the token was made, and never changes in this
            // process.
            Some(word) => word.load(Ordering::Relaxed) == self.process,
            None => u64::from(std::process::id()) == self.process,
        }
    }
}

/// The number on the page. The first token of a process stores it.
fn number_of_this_process(word: &AtomicU64) -> u64 {
    let known = word.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // Without randomness the pid is used.
    let fresh = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())).max(1);
    // Relaxed: only the word itself decides which thread's number is used.
    word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed)
        .map_or_else(|there| there, |_| fresh)
}

/// One page that is never unmapped and that a fork finds zeroed.
fn wiped_page() -> Option<&'static AtomicU64> {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice replaces nothing.
    let page = unsafe {
        mmap_anonymous(ptr::null_mut(), PAGE_BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
    }
    .ok()?;
    // SAFETY: the page is ours and of that length; wiping it in children harms no process, because
    // nothing refers to it yet.
    if unsafe { madvise(page, PAGE_BYTES, Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: the page is ours, of that length, and nothing refers to it.
        let _ = unsafe { munmap(page, PAGE_BYTES) };
        return None;
    }
    // SAFETY: page-aligned, writable, zeroed, never unmapped from here on, and accessed only
    // through this reference.
    Some(unsafe { AtomicU64::from_ptr(page.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_ours_in_every_thread() {
        let token = ForkToken::take();
        assert!(token.is_ours());
        assert!(std::thread::spawn(move || token.is_ours()).join().unwrap());
        assert!(token.page.is_some(), "Linux has had MADV_WIPEONFORK since 4.14");
    }
}
