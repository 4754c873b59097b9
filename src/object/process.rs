//! What can happen to this process: a fork, and its exit.
//!
//! A token detects for the price of one load whether this process is a fork of the one that took
//! it. A page that the kernel zeroes in a forked child (`MADV_WIPEONFORK`, Linux 4.14) holds a
//! random number of the process. A pid would not do: a descendant may have the same one. Besides,
//! `getpid` would cost a system call per publish.
//!
//! At an exit (a call of `exit`, or the end of `main`) some work is done for what is still in use,
//! for example in a `static`, which is never dropped. A killed process does nothing of that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

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

/// Something to do when this process exits.
pub(crate) trait AtExit: Send + Sync {
    /// Does it. Other threads are still running, and may hold locks for ever: waits at most until
    /// `deadline`.
    fn at_exit(&self, deadline: Instant);
}

/// How long an exit waits for other threads at most.
const MAX_EXIT_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before the next try to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// What to do at the exit of a process, in the order in which it was asked for.
static AT_EXIT: Mutex<Vec<(ForkToken, Weak<dyn AtExit>)>> = Mutex::new(Vec::new());

/// Lets `work` be done when this process exits, and not when its forks do, before everything that
/// asked earlier, unless it is dropped before that.
pub(crate) fn at_exit(work: Weak<dyn AtExit>) {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // SAFETY: the function takes nothing, does not unwind, and is never unloaded before it is
        // called. Without memory for it nothing is done at the exit, as in a killed process.
        let _ = unsafe { libc::atexit(exit) };
    });
    // A fork whose parent held the lock at that moment does nothing at its exit.
    if let Some(mut all) = lock_until(&AT_EXIT, Instant::now() + MAX_EXIT_WAIT) {
        if all.len() == all.capacity() {
            all.retain(|(_, work)| work.strong_count() > 0);
        }
        all.push((ForkToken::take(), work));
    }
}

extern "C" fn exit() {
    let deadline = Instant::now() + MAX_EXIT_WAIT;
    let Some(mut all) = lock_until(&AT_EXIT, deadline) else { return };
    let works = std::mem::take(&mut *all);
    // What is done may drop what has asked for more.
    drop(all);
    for (token, work) in works.iter().rev() {
        if let Some(work) = work.upgrade().filter(|_| token.is_ours()) {
            // Unwind safe: the process ends. A panic must not unwind into the C library.
            let _ = catch_unwind(AssertUnwindSafe(|| work.at_exit(deadline)));
        }
    }
}

/// Locks, also after a panic; `None` if another thread holds the lock until `deadline`.
pub(crate) fn lock_until<T>(mutex: &Mutex<T>, deadline: Instant) -> Option<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(locked) => return Some(locked),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Work(Mutex<u32>);

    impl AtExit for Work {
        fn at_exit(&self, deadline: Instant) {
            *lock_until(&self.0, deadline).unwrap() += 1;
        }
    }

    #[test]
    fn work_that_is_dropped_is_not_kept() {
        let kept = Arc::new(Work(Mutex::new(0)));
        let weak: Weak<dyn AtExit> = Arc::<Work>::downgrade(&kept);
        at_exit(weak);
        for _ in 0..1_000 {
            let dropped = Arc::new(Work(Mutex::new(0)));
            at_exit(Arc::<Work>::downgrade(&dropped));
        }
        // Other tests of this process ask for work, too.
        let all = lock_until(&AT_EXIT, Instant::now() + Duration::from_secs(60)).unwrap();
        assert!(all.capacity() < 1_000, "{}", all.capacity());
        assert!(all.iter().any(|(token, work)| token.is_ours() && work.strong_count() == 1));
    }

    #[test]
    fn a_lock_that_another_thread_keeps_is_given_up() {
        let mutex = Mutex::new(0);
        let held = mutex.lock().unwrap();
        assert!(lock_until(&mutex, Instant::now() + 3 * LOCK_PAUSE).is_none());
        drop(held);
        assert!(lock_until(&mutex, Instant::now()).is_some());
    }

    #[test]
    fn a_token_is_ours_in_every_thread() {
        let token = ForkToken::take();
        assert!(token.is_ours());
        assert!(thread::spawn(move || token.is_ours()).join().unwrap());
        assert!(token.page.is_some(), "Linux has had MADV_WIPEONFORK since 4.14");
    }
}
