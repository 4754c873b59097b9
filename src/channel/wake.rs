//! The writer's side of waiting: waking those who have announced themselves.

use crate::memory::Words;
use std::fmt;

use super::ChannelWriter;
use crate::layout::control;
use crate::layout::registry::waiters;
use crate::memory::{CountingMemory, MemoryMut};
use crate::object::{self};
use crate::seqlock::{Announcements, Answered, WakeMode};

/// The page of a namespace on which those who wait announce themselves.
pub(crate) struct WaitersPage {
    /// Of the registry that it belongs to.
    pub(crate) instance: u64,
    pub(crate) words: Words,
}

/// Wakes the processes that wait for this writer.
pub(super) struct Waker {
    /// Of the registry whose page it looks at.
    instance: u64,
    announcements: Announcements<Words>,
    wake_mode: WakeMode,
    answered: Answered,
}

impl Waker {
    /// The waker of a writer of `channel` that has not woken anybody yet: its first publication does, for those who may have
    /// waited before it came.
    pub(super) fn new(page: WaitersPage, channel: &str, wake_mode: WakeMode) -> Waker {
        let announcements = Announcements::new(page.words, waiters::of_channel(channel));
        let answered = Answered::none_of(announcements.count());
        Waker { instance: page.instance, announcements, wake_mode, answered }
    }

    pub(super) fn wake_mode(&self) -> WakeMode {
        self.wake_mode
    }

    /// Of the registry on whose page it looks.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// p1: what is to be given to [`Waker::must_wake`] after the publication.
    #[inline(always)]
    pub(super) fn count(&self) -> u64 {
        self.announcements.count()
    }

    /// p2, p3: after a publication, whether anybody waits.
    #[inline(always)]
    pub(super) fn must_wake(&mut self, before: u64) -> bool {
        if self.wake_mode == WakeMode::Fences {
            // Full: the load of p3 must not be satisfied before the number of the publication (w5) is visible, or the
            // writer could miss an announcement whose waiter misses the number. Pairs with the waiter's full fence (s3).
            self.announcements.page().fence_full();
        }
        // With `WakeMode::Barriers` the waiter's barrier (s3) runs in this process, too; that the compiler does not move the
        // load is the affair of `store_release`, which ends with a compiler fence.
        self.answered.must_wake(before, self.count())
    }

    /// Wakes those who sleep on the word `published` of the channel's `control` page, and those who sleep on the page's.
    #[cold]
    pub(super) fn wake(&self, control: &Words, published: usize) {
        let page = self.announcements.page();
        object::wake(control, published);
        page.increment(waiters::RUNG);
        object::wake(page, waiters::RUNG);
    }
}

impl ChannelWriter {
    /// From now on wakes those who wait, and announce it on `page`.
    pub(crate) fn wake_those_on(&mut self, page: WaitersPage) {
        let wake_mode = match self.options.wake_mode {
            WakeMode::Barriers if !object::register_for_barriers() => WakeMode::Fences,
            wake_mode => wake_mode,
        };
        if wake_mode == WakeMode::Nobody {
            return;
        }
        let waker = Waker::new(page, self.channel(), wake_mode);
        let control = self.writer.control();
        control.store(control::WAITERS, waker.instance());
        waker.wake_mode().store(control);
        // Those who waited for the former writer's successor look where this one looks.
        waker.wake(control.0.memory(), control::PUBLISHED);
        self.waker = Some(waker);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waker").field("wake_mode", &self.wake_mode).finish_non_exhaustive()
    }
}
