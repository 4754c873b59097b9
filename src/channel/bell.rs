//! The writer's side of waiting: waking those who have announced themselves.

use crate::memory::Words;
use std::fmt;

use super::ChannelWriter;
use crate::layout::control;
use crate::layout::registry::waiters;
use crate::memory::{CountingMemory, MemoryMut};
use crate::segment::{self};
use crate::seqlock::{Announcements, Answered, Waking};

/// The page of a namespace on which those who wait announce themselves.
pub(crate) struct WaitersPage {
    /// Of the registry that it belongs to.
    pub(crate) instance: u64,
    pub(crate) words: Words,
}

/// What a writer wakes with.
pub(super) struct Bell {
    /// Of the registry whose page it looks at.
    instance: u64,
    announcements: Announcements<Words>,
    waking: Waking,
    answered: Answered,
}

impl Bell {
    /// The bell of a writer of `channel` that has not rung it yet: its first publication does, for those who may have
    /// waited before it came.
    pub(super) fn new(page: WaitersPage, channel: &str, waking: Waking) -> Bell {
        let announcements = Announcements::new(page.words, waiters::of_channel(channel));
        let answered = Answered::none_of(announcements.count());
        Bell { instance: page.instance, announcements, waking, answered }
    }

    pub(super) fn waking(&self) -> Waking {
        self.waking
    }

    /// Of the registry on whose page it looks.
    pub(super) fn instance(&self) -> u64 {
        self.instance
    }

    /// p1: what is to be given to [`Bell::must_ring`] after the publication.
    #[inline(always)]
    pub(super) fn count(&self) -> u64 {
        self.announcements.count()
    }

    /// p2, p3: after a publication, whether anybody waits.
    #[inline(always)]
    pub(super) fn must_ring(&mut self, before: u64) -> bool {
        if self.waking == Waking::Fences {
            // Full: the load of p3 must not be satisfied before the number of the publication (w5) is visible, or the
            // writer could miss an announcement whose waiter misses the number. Pairs with the waiter's full fence (s3).
            self.announcements.page().fence_full();
        }
        // With `Waking::Barriers` the waiter's barrier (s3) runs in this process, too; that the compiler does not move the
        // load is the affair of `store_release`, which ends with a compiler fence.
        self.answered.must_wake(before, self.count())
    }

    /// Wakes those who sleep on the word `published` of the channel's `control` page, and those who sleep on the page's.
    #[cold]
    pub(super) fn ring(&self, control: &Words, published: usize) {
        let page = self.announcements.page();
        segment::wake(control, published);
        page.increment(waiters::RUNG);
        segment::wake(page, waiters::RUNG);
    }
}

impl ChannelWriter {
    /// From now on wakes those who wait, and announce it on `page`.
    pub(crate) fn wake_those_on(&mut self, page: WaitersPage) {
        let waking = match self.options.waking {
            Waking::Barriers if !segment::register_for_barriers() => Waking::Fences,
            waking => waking,
        };
        if waking == Waking::Nobody {
            return;
        }
        let bell = Bell::new(page, self.channel(), waking);
        let control = self.writer.control();
        control.store(control::WAITERS, bell.instance());
        bell.waking().store(control);
        // Those who waited for the former writer's successor look where this one looks.
        bell.ring(control.0.memory(), control::PUBLISHED);
        self.bell = Some(bell);
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bell").field("waking", &self.waking).finish_non_exhaustive()
    }
}
