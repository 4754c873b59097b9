//! The handshake of who waits for a publication with the writer, who makes no system call while nobody waits.
//!
//! Who waits announces itself in a counter of the waiters' page; the writer looks at the counter after each publication.
//!
//! ```text
//! WAITER has seen publication k and wants a later one     WRITER publishes n
//!   s1  published.load == k, then fence(Acquire)            p1  before = counter.load(Relaxed)
//!   s2  counter.fetch_add(1, Relaxed)                       w1 .. w5
//!   s3  full barrier, here and in the writer                p2  full barrier, if s3 is none there
//!   s4  sleep if published is still k; the kernel           p3  after = counter.load(Relaxed)
//!       compares and sleeps in one step                         after != answered? answered = before, wake all
//! ```
//!
//! *No wake-up is lost.* Who sleeps at s4 has not seen k+1 there. By the barriers of s3 and p2 the store of k+1 (w5) and
//! the load of p3 can't both have missed the other side: so the writer's p3 after k+1 counts the announcement. It wakes
//! unless `answered` counts the announcement, too. But `answered` is a `before`, that is a count from before the store of
//! some publication up to k, as k+1 is only just published; and the announcement was made after k was seen. (s1's acquire
//! and w5's release make that so: p1 of publication k happens before s2.)
//!
//! *Nobody wakes for ever.* An announcement is answered at most twice: after the publication that was just being made,
//! and after the next one, whose p1 counts it. A waiter that was killed costs no more than that.
//!
//! The full barrier on the writer's side costs more than all the rest of publishing a small state. On Linux the waiter
//! can have it run there ([`WakeMode::Barriers`]): then p2 only keeps the compiler from moving p3.
//!
//! A waiter does not trust any of it with its life: it sleeps in slices, because the writer can be killed between w5 and
//! the wake-up, and anybody who may write to the page can spoil it.

use crate::layout::control;
use crate::memory::{CountingMemory, Memory, MemoryMut, Word};

/// How a writer and those who wait for its publications take notice of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WakeMode {
    /// Who waits has the processors run a barrier in the writer's process (`membarrier`), at the price of a system call of
    /// its own. Publishing costs a few instructions more than with [`WakeMode::Nobody`]. The default; where the system has
    /// no such call, [`WakeMode::Fences`].
    #[default]
    Barriers,
    /// The writer has a full fence in each publication, which costs some nanoseconds, and who waits needs no system call
    /// before it sleeps.
    Fences,
    /// The writer wakes nobody: who waits looks again after pauses of up to a millisecond.
    Nobody,
}

impl WakeMode {
    /// Relaxed: who is misled by an old value wakes at the end of its slice.
    pub(crate) fn load(control: &impl Memory) -> WakeMode {
        match control.load(control::WAKE_MODE) {
            1 => WakeMode::Barriers,
            2 => WakeMode::Fences,
            _ => WakeMode::Nobody,
        }
    }

    /// Relaxed, as the load.
    pub(crate) fn store(self, control: &impl MemoryMut) {
        let word = match self {
            WakeMode::Nobody => 0,
            WakeMode::Barriers => 1,
            WakeMode::Fences => 2,
        };
        control.store(control::WAKE_MODE, word);
    }
}

/// The counter of those who have announced that they wait.
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

    /// p1, p3: how many there have been.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        self.0.load()
    }
}

/// s2: one more announcement in `word` of a waiters' page. The caller has seen a publication by `Published::latest`, and
/// goes on with a full barrier.
pub(crate) fn register_waiter(page: &impl CountingMemory, word: usize) {
    page.increment(word);
}

/// What the writer remembers of the announcements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered(u64);

impl Answered {
    /// Of a writer that has answered none of `count` announcements.
    pub(crate) fn none_of(count: u64) -> Answered {
        Answered(count.wrapping_sub(1))
    }

    /// After a publication: whether there is anybody to be woken, given the counts of p1 and p3.
    #[inline(always)]
    pub(crate) fn must_wake(&mut self, before: u64, after: u64) -> bool {
        if after == self.0 {
            return false;
        }
        self.0 = before;
        true
    }
}
