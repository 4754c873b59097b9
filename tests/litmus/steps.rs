//! The steps of the protocol as functions of their own, a part of the library in `ci/herd`.

use crate::layout::WORD_BYTES;
use crate::memory::{ReadOnlyWords, Words};
use crate::seqlock::{Announcements, Answered, Published, Reader, WakeMode, Writer, announce_waiter};

/// The steps on the memory that channels use. Nothing runs them: their instructions are compared
/// with the programs beside this file.
pub struct Steps {
    writer: Writer<Words, Words>,
    reader: Reader<ReadOnlyWords, ReadOnlyWords>,
    announcements: Announcements<Words>,
    answered: Answered,
}

/// A state of two words.
pub type TwoWords = [u8; 2 * WORD_BYTES];

impl Steps {
    /// w1 to w5.
    #[inline(never)]
    pub fn publish(&mut self, state: &TwoWords, time: u64, checksum: u64) {
        let Some(publication) = self.writer.next() else { return };
        self.writer.try_publish(publication, state, time, checksum);
    }

    /// r1 to r5: whether `into` holds a whole publication.
    #[inline(never)]
    pub fn snapshot(&self, into: &mut TwoWords) -> bool {
        self.reader.try_fast(&mut into.as_mut_slice()).is_ok()
    }

    /// p1, w1 to w5, p2, p3, with a barrier of the writer's own: whether to wake waiters.
    #[inline(never)]
    pub fn publish_with_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_waiters(state, time, checksum, WakeMode::Fences)
    }

    /// The same, with the barrier of the waiter.
    #[inline(never)]
    pub fn publish_without_fence(&mut self, state: &TwoWords, time: u64, checksum: u64) -> bool {
        self.publish_to_waiters(state, time, checksum, WakeMode::Barriers)
    }

    #[inline(always)]
    fn publish_to_waiters(
        &mut self,
        state: &TwoWords,
        time: u64,
        checksum: u64,
        wake_mode: WakeMode,
    ) -> bool {
        let Some(publication) = self.writer.next() else { return false };
        let before = self.announcements.count();
        if !self.writer.try_publish(publication, state, time, checksum) {
            return false;
        }
        self.answered.must_wake(before, self.announcements.count_after(wake_mode))
    }

    /// s1 to s4, without the sleep: whether a waiter for a publication after the latest may sleep.
    #[inline(never)]
    pub fn wait(&self, word: usize) -> bool {
        let published = Published::of_channel(self.reader.control());
        let latest = published.latest().map_or(0, |publication| publication.get());
        announce_waiter(self.announcements.page(), [word]);
        published.peek() == latest
    }

    /// c1 to c3 of a cut of two channels, without the copies: whether no number has moved.
    #[inline(never)]
    pub fn cut(&self, other: &Steps) -> bool {
        let collected = [self, other].map(|steps| steps.reader.collect());
        self.reader.is_still_at(collected[0]) && other.reader.is_still_at(collected[1])
    }
}
