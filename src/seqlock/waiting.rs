//! The handshake between a process that waits for a publication (the waiter) and the writer, which
//! makes no system call while no process waits.
//!
//! The waiter announces itself in a counter of the waiters' page. The writer loads the counter
//! after each publication.
//!
//! ```text
//! WAITER has seen publication k and wants a later one   WRITER publishes n
//!   s1  published.load == k, then fence(Acquire)          p1  before = counter.load(Relaxed)
//!   s2  counter.fetch_add(1, Relaxed)                     w1 .. w5
//!   s3  full barrier, here and in the writer              p2  full barrier, if s3 is none there
//!   s4  sleep if published is still k; the kernel         p3  after = counter.load(Relaxed)
//!       compares and sleeps in one step                       after != answered?
//!                                                             answered = before, wake all
//! ```
//!
//! *No wake-up is lost.* A waiter that sleeps at s4 has not seen k+1 there. By the barriers of s3
//! and p2 the store of k+1 (w5) and the load of p3 can't both have missed the other side: so the
//! writer's p3 after k+1 counts the announcement. The writer wakes unless `answered` counts the
//! announcement, too. But `answered` is a `before`, that is, a count from before the store of some
//! publication up to k, as k+1 is only just published; and the announcement was made after k was
//! seen. (s1's acquire and w5's release ensure that: p1 of publication k happens before s2.)
//!
//! *The writer stops waking.* It answers an announcement at most twice: after the publication that
//! was in progress, and after the next one, whose p1 counts the announcement. A waiter that was
//! killed costs no more than that.
//!
//! The full barrier on the writer's side costs more than all the rest of publishing a small state.
//! On Linux the waiter can run it there ([`WakeMode::Barriers`]): then p2 only keeps the compiler
//! from moving p3.
//!
//! *Many channels.* Channels share counters: those of a *group* have one counter of announcements,
//! and one of wake-ups. A writer counts one there before it wakes waiters ([`count_wake_up`]). So a
//! waiter for many channels looks only at those of groups with new wake-ups ([`WakeUps`]). A new
//! one says that some writer has answered, and may wake no waiter of the group again: the waiter
//! announces itself again, and *then* looks at all channels of the group.
//!
//! A waiter does not depend on the handshake: it sleeps in slices, because the writer can be killed
//! between w5 and the wake-up, and any process that may write to the page can corrupt it.

use crate::layout::control;
use crate::memory::{CountingMemory, Memory, MemoryMut, Word};

/// How a writer notices the processes that wait for its publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WakeMode {
    /// The waiter makes the processors run a barrier in the writer's process (`membarrier`), which
    /// costs the waiter a system call. Publishing costs a few instructions more than with
    /// [`WakeMode::Never`]. The first such writer of a process registers it with the kernel, which
    /// takes some 10 ms if the process has several threads. The default; on a system without that
    /// call, [`WakeMode::Fences`].
    #[default]
    Barriers = 1,
    /// Each publication includes a full fence, which costs the writer some nanoseconds. The waiter
    /// needs no system call before it sleeps.
    Fences = 2,
    /// The writer wakes no process: waiters poll, with pauses of up to a millisecond.
    Never = 0,
}

impl WakeMode {
    /// Relaxed: a waiter that is misled by an old value wakes at the end of its slice. For a reader
    /// that pins, the full fence of `Pins::announce` precedes it.
    pub(crate) fn load(control: &impl Memory) -> WakeMode {
        match control.load(control::WAKE_MODE) {
            1 => WakeMode::Barriers,
            2 => WakeMode::Fences,
            _ => WakeMode::Never,
        }
    }

    /// Relaxed, as the load. The full fence of `Pins::has_viewers` follows it.
    pub(crate) fn store(self, control: &impl MemoryMut) {
        control.store(control::WAKE_MODE, self as u64);
    }
}

/// The counter of announcements.
#[derive(Clone, Debug)]
pub(crate) struct Announcements<M>(Word<M>);

impl<M: Memory> Announcements<M> {
    /// The counter in `word` of a waiters' page.
    ///
    /// # Panics
    ///
    /// If the page has no such word.
    pub(crate) fn new(page: M, word: usize) -> Announcements<M> {
        Announcements(Word::new(page, word))
    }

    /// The waiters' page.
    pub(crate) fn page(&self) -> &M {
        self.0.memory()
    }

    /// p1: number of announcements so far.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        self.0.load()
    }
}

impl<M: CountingMemory> Announcements<M> {
    /// p2, p3: number of announcements after a publication.
    #[inline(always)]
    pub(crate) fn count_after(&self, wake_mode: WakeMode) -> u64 {
        if wake_mode == WakeMode::Fences {
            // Full: the load of p3 must not be satisfied before the number of the publication (w5)
            // is visible, or the writer could miss an announcement whose waiter misses the number.
            // Pairs with the waiter's full fence (s3).
            self.page().fence_full();
        }
        // With `WakeMode::Barriers` the waiter's barrier (s3) runs in this process, too.
        // `store_release` ends with a compiler fence, so the load can't move above it.
        self.count()
    }
}

/// s2, s3: adds an announcement in each of these words of a waiters' page. The caller has seen a
/// publication by `Published::latest`, and compares its number again after this.
#[inline]
pub(crate) fn announce_waiter(page: &impl CountingMemory, words: impl IntoIterator<Item = usize>) {
    for word in words {
        page.increment(word);
    }
    // Full: the compare of s4, the kernel's or the caller's, must not happen before the
    // announcements are visible. Pairs with the writer's fence, if it has one (p2).
    page.fence_full();
}

/// A writer's step before it wakes waiters: counts a wake-up in the words `group` and `all` of a
/// waiters' page.
#[inline]
pub(crate) fn count_wake_up(page: &impl CountingMemory, group: usize, all: usize) {
    // Release: a waiter that finds the group's wake-up must see the publication (w5), or it would
    // look at the channel in vain. Pairs with the second fence of `WakeUps::since`.
    page.fence_release();
    page.increment(group);
    // Release: a waiter that finds a wake-up must find the group, or it would sleep again. Pairs
    // with the first fence of `WakeUps::since`.
    page.fence_release();
    page.increment(all);
}

/// A waiter's copy of the groups' counters of wake-ups.
#[derive(Debug)]
pub(crate) struct WakeUps {
    /// The first of them in the waiters' page.
    first: usize,
    seen: Vec<u64>,
}

impl WakeUps {
    /// Of a page's `groups`, whose counters begin at word `first`. Any may have had wake-ups.
    pub(crate) fn new(first: usize, groups: usize) -> WakeUps {
        WakeUps { first, seen: vec![0; groups] }
    }

    /// Calls `visit` with each group that has had wake-ups since the last call. Returns the number
    /// of all from before: as long as the word `all` has that value, no other group has one.
    #[inline]
    pub(crate) fn since(&mut self, page: &impl Memory, all: usize, mut visit: impl FnMut(usize)) -> u64 {
        let wake_ups = page.load(all);
        // Acquire: pairs with the second fence of `count_wake_up`.
        page.fence_acquire();
        for (group, seen) in self.seen.iter_mut().enumerate() {
            let now = page.load(self.first + group);
            if *seen != now {
                *seen = now;
                visit(group);
            }
        }
        // Acquire: pairs with the first fence of `count_wake_up`.
        page.fence_acquire();
        wake_ups
    }
}

/// The count of announcements that the writer has answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered(u64);

impl Answered {
    /// For a writer that has answered none of `count` announcements.
    pub(crate) fn none_of(count: u64) -> Answered {
        Answered(count.wrapping_sub(1))
    }

    /// For a writer that answers none of its announcements, of which there are `count`.
    pub(crate) fn all_of(count: u64) -> Answered {
        Answered(count)
    }

    /// After a publication: whether to wake waiters, given the counts of p1 and p3.
    #[inline(always)]
    pub(crate) fn must_wake(&mut self, before: u64, after: u64) -> bool {
        if after == self.0 {
            return false;
        }
        self.0 = before;
        true
    }
}
