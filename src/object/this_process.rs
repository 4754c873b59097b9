//! What can happen to this process: a fork, and its exit; and the clocks that it reads.
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
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::layout::PAGE_BYTES;

/// Belongs to the process that took it, not to its forks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForkToken {
    /// The word that holds `process` in that process only. [`NO_PAGE`] if the kernel has no such
    /// page: then each check queries the pid.
    page: &'static AtomicU64,
    /// The number on the page of the process that took it, never 0.
    process: u64,
    pid: u64,
}

static NO_PAGE: AtomicU64 = AtomicU64::new(0);

impl ForkToken {
    /// A token of this process.
    pub(crate) fn take() -> ForkToken {
        static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
        let page = *PAGE.get_or_init(wiped_page);
        let pid = u64::from(std::process::id());
        let process = page.map_or(pid, number_of_this_process);
        ForkToken { page: page.unwrap_or(&NO_PAGE), process, pid }
    }

    /// A token of some other process.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_another_process() -> ForkToken {
        let pid = u64::from(std::process::id()) ^ (1 << 40);
        ForkToken { page: &NO_PAGE, process: pid, pid }
    }

    /// A token of this process on a kernel without such a page.
    #[cfg(test)]
    pub(crate) fn without_page() -> ForkToken {
        let pid = u64::from(std::process::id());
        ForkToken { page: &NO_PAGE, process: pid, pid }
    }

    /// The pid of the process that took it.
    pub(crate) fn pid(self) -> u64 {
        self.pid
    }

    /// Whether the page shows that this is the process that took it. Never if the kernel has no
    /// such page: then only [`ForkToken::is_ours`] knows.
    #[inline(always)]
    pub(crate) fn is_shown_ours(&self) -> bool {
        // Relaxed: the number was stored before the token was made, and never changes in this
        // process.
        self.page.load(Ordering::Relaxed) == self.process
    }

    /// Whether this is the process that took it.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.is_shown_ours() || self.has_same_pid()
    }

    /// The answer without such a page.
    #[cold]
    fn has_same_pid(&self) -> bool {
        ptr::eq(self.page, &raw const NO_PAGE) && u64::from(std::process::id()) == self.pid
    }
}

/// A property of this process, which is read once, and again in a fork. It has no lock, which a
/// fork could inherit locked.
pub(crate) struct OfThisProcess<T: 'static>(AtomicPtr<(ForkToken, T)>);

impl<T: Send + Sync> OfThisProcess<T> {
    pub(crate) const fn new() -> OfThisProcess<T> {
        OfThisProcess(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&'static self, read: impl FnOnce() -> T) -> &'static T {
        // Acquire: what the pointer leads to is whole; pairs with the exchange below.
        let known = self.0.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or the exchange below took it of a box: it is aligned, never
        // freed, also in a fork, which has a copy, and all threads (`T` is `Sync`) only share it.
        if let Some((_, value)) = unsafe { known.as_ref() }.filter(|(token, _)| token.is_ours()) {
            return value;
        }
        let fresh = Box::into_raw(Box::new((ForkToken::take(), read())));
        // Once in a process: of threads that come here at the same time, the first one's stays.
        // Release: pairs with the load above, and with the failed exchange's acquire.
        let first = match self.0.compare_exchange(known, fresh, Ordering::Release, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(first) => {
                // SAFETY: it was made of a box just now, and no other thread has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                first
            }
        };
        // SAFETY: as above, and not null: a thread of this process has replaced `known` by it.
        &unsafe { &*first }.1
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

/// The time of a clock in nanoseconds; 0 if the kernel has no such clock.
///
/// By the C library, which works under valgrind, too: rustix looks for the kernel's function
/// itself, where valgrind has unmapped it. Never inlined: the call costs nothing beside the clock.
#[inline(never)]
pub(crate) fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the function writes to `time` only, and reports an unknown clock by its result.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
    // Both parts are positive on the clocks of this library, and the sum overflows after 584 years
    // without a reboot.
    time.tv_sec.unsigned_abs().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.unsigned_abs())
}

/// Something to do when this process exits.
pub(crate) trait AtExit: Send + Sync {
    /// Does it, and drops `done`. Called in the thread that exits, which may hold any lock: what
    /// could wait for one is done in another thread. The process waits for that three seconds at
    /// most.
    fn at_exit(self: Arc<Self>, done: Sender<()>);
}

/// How long an exit waits for what is done in other threads.
const MAX_EXIT_WAIT: Duration = Duration::from_secs(3);

/// How long to wait before the next try to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// What to do at the exit of a process, in the order in which it was asked for.
type Works = Vec<(ForkToken, Weak<dyn AtExit>)>;

static AT_EXIT: Mutex<Works> = Mutex::new(Vec::new());

/// Lets `work` be done when this process exits, and not when its forks do, unless it is dropped
/// before that.
pub(crate) fn at_exit<W: AtExit + 'static>(work: &Arc<W>) {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // SAFETY: the function takes nothing, does not unwind, and is never unloaded before it is
        // called. Without memory for it nothing is done at the exit, as in a killed process.
        let _ = unsafe { libc::atexit(exit) };
    });
    if let Some(mut works) = lock_works() {
        if works.len() == works.capacity() {
            works.retain(|(_, work)| work.strong_count() > 0);
        }
        let work: Weak<W> = Arc::downgrade(work);
        works.push((ForkToken::take(), work));
    }
}

extern "C" fn exit() {
    let deadline = Instant::now() + MAX_EXIT_WAIT;
    // What is done may ask for more: a syncer creates its channel again if its names were removed.
    while Instant::now() < deadline {
        let works = lock_works().map(|mut works| std::mem::take(&mut *works)).unwrap_or_default();
        if works.is_empty() {
            return;
        }
        let (done, all_done) = mpsc::channel();
        for (token, work) in works.into_iter().rev() {
            if let Some(work) = work.upgrade().filter(|_| token.is_ours()) {
                let done = done.clone();
                // Unwind safe: the process ends. A panic must not unwind into the C library.
                let _ = catch_unwind(AssertUnwindSafe(|| work.at_exit(done)));
            }
        }
        drop(done);
        // Nothing is ever sent: this ends with the last sender, or by the time.
        let _ = all_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// `None` in a fork whose parent held the lock at that moment.
fn lock_works() -> Option<MutexGuard<'static, Works>> {
    let deadline = Instant::now() + MAX_EXIT_WAIT;
    loop {
        match AT_EXIT.try_lock() {
            Ok(works) => return Some(works),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl AtExit for Nothing {
        fn at_exit(self: Arc<Self>, _done: Sender<()>) {}
    }

    #[test]
    fn work_that_is_dropped_is_not_kept() {
        let kept = Arc::new(Nothing);
        at_exit(&kept);
        for _ in 0..10_000 {
            at_exit(&Arc::new(Nothing));
        }
        // Other tests of this process ask for work, too.
        let works = lock_works().unwrap();
        assert!(works.capacity() < 10_000, "{}", works.capacity());
        let kept: Weak<dyn AtExit> = Arc::<Nothing>::downgrade(&kept);
        assert!(works.iter().any(|(token, work)| token.is_ours() && work.ptr_eq(&kept)));
    }

    #[test]
    fn a_property_is_read_once_in_a_process_and_again_in_a_fork() {
        static KNOWN: OfThisProcess<u64> = OfThisProcess::new();
        assert_eq!(*KNOWN.get(|| 1), 1);
        assert_eq!(*KNOWN.get(|| unreachable!("it is known")), 1);
        assert_eq!(thread::spawn(|| *KNOWN.get(|| unreachable!("also here"))).join().unwrap(), 1);
        let of_parent = Box::into_raw(Box::new((ForkToken::of_another_process(), 1)));
        let replaced = KNOWN.0.swap(of_parent, Ordering::AcqRel);
        assert_eq!(*KNOWN.get(|| 2), 2);
        assert_eq!(*KNOWN.get(|| unreachable!("it is known again")), 2);
        for lost in [of_parent, replaced] {
            // SAFETY: both were made of boxes, are replaced, and no other thread uses them.
            drop(unsafe { Box::from_raw(lost) });
        }
    }

    #[test]
    fn threads_that_read_a_property_at_the_same_time_have_the_same() {
        static ALL: [OfThisProcess<u64>; 200] = [const { OfThisProcess::new() }; 200];
        for known in &ALL {
            let barrier = &std::sync::Barrier::new(4);
            let read = |thread: u64| {
                move || {
                    barrier.wait();
                    *known.get(|| thread)
                }
            };
            let found: Vec<u64> = thread::scope(|scope| {
                let threads = [0, 1, 2, 3].map(|thread| scope.spawn(read(thread)));
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(found, [*known.get(|| unreachable!("it is known")); 4]);
        }
    }

    #[test]
    fn a_token_is_ours_in_every_thread() {
        let token = ForkToken::take();
        assert!(token.is_ours());
        assert!(thread::spawn(move || token.is_ours()).join().unwrap());
        assert!(!ptr::eq(token.page, &raw const NO_PAGE), "Linux has had MADV_WIPEONFORK since 4.14");
    }
}
