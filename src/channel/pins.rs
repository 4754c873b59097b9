//! The pins of a channel, as its readers take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::control_page::ControlPage;
use super::segments::Segments;
use crate::layout::{Kind, WORD_BYTES, pins};
use crate::memory::{ReadOnlyWords, TrustedWriters, Words};
use crate::object::{self, Backend, ForkToken, Holder, ObjectError};
use crate::seqlock::{Pins, WakeMode};

/// The right of a reader, and of its clones, to pin publications of a channel.
#[derive(Debug)]
struct PinHolder {
    pins: Pins<Words>,
    holder: Box<dyn Holder>,
    owner: ForkToken,
    /// Views in a row for which no pin was free.
    refused: AtomicU32,
}

/// A pin. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Pin {
    holder: Arc<PinHolder>,
    index: usize,
}

/// What a reader knows of the pins of its channel.
#[derive(Clone, Debug, Default)]
pub(super) struct ReaderPins {
    promise: Option<TrustedWriters>,
    /// `Some(None)` if the reader can't pin.
    holder: Option<Option<Arc<PinHolder>>>,
}

/// With the maximum number of pins, a refused view takes one system call on average.
const PAUSE: u32 = 64;

const _: () = assert!(PAUSE as usize >= pins::MAX);

impl PinHolder {
    /// Maps the pins, and announces their reader; `None` if the writer may not notice it. A fork of
    /// the process can't use them, and maps them for itself.
    #[cold]
    fn open(
        segments: &Segments,
        page: &ControlPage<ReadOnlyWords>,
        first_word: usize,
    ) -> Result<Option<PinHolder>, ObjectError> {
        let (name, id) = (segments.names.object(Kind::Control), page.memory().object());
        let (start, bytes) = (first_word * WORD_BYTES, pins::WORDS * WORD_BYTES);
        let (memory, holder) = segments.backend.hold(&name, id, start, bytes)?;
        let pins = Pins::new(memory, page.pins());
        let has_barrier = || WakeMode::load(page.memory()) != WakeMode::Barriers || object::issue_barrier();
        // Without one the announcement would cost the writer a look at the pins, for nothing.
        if !has_barrier() {
            return Ok(None);
        }
        pins.announce();
        // The mode is loaded again: the announcement may have come too late for a writer that has
        // changed it in the meantime.
        if !has_barrier() {
            return Ok(None);
        }
        Ok(Some(PinHolder { pins, holder, owner: ForkToken::take(), refused: AtomicU32::new(0) }))
    }

    /// A pin that no reader has, or else, if it is time to look for one, that of a dead reader.
    fn take(self: &Arc<Self>) -> Option<Pin> {
        let number = self.holder.number();
        let take_over = || self.pins.take_over(number, |holder| self.holder.exists(holder));
        let taken = self.pins.take(number).or_else(|| self.looks().then(take_over).flatten());
        let index = taken?;
        // Relaxed, also below: a count that orders nothing.
        self.refused.store(0, Relaxed);
        Some(Pin { holder: Arc::clone(self), index })
    }

    /// Counts a view for which no pin is free; whether it looks for dead readers, which takes a
    /// system call for each pin: the 1st, 2nd, 4th, 8th, … in a row, and each 64th.
    fn looks(&self) -> bool {
        let refused = self.refused.fetch_add(1, Relaxed).wrapping_add(1);
        refused.is_power_of_two() || refused.is_multiple_of(PAUSE)
    }
}

impl Pin {
    pub(super) fn pins(&self) -> &Pins<Words> {
        &self.holder.pins
    }

    /// Whether this is the process that has it, and no fork.
    pub(super) fn is_ours(&self) -> bool {
        self.holder.owner.is_ours()
    }

    /// Which of the channel's pins it is.
    pub(super) fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Pin {
    /// Unpins, and gives the pin back. In a fork it does nothing: the parent has the view.
    fn drop(&mut self) {
        if self.is_ours() {
            self.holder.pins.unpin(self.index);
            self.holder.pins.give_back(self.index);
        }
    }
}

impl ReaderPins {
    pub(super) fn new(backend: &Arc<dyn Backend>, promise: Option<TrustedWriters>) -> ReaderPins {
        ReaderPins { promise: promise.or_else(|| backend.trusted()), holder: None }
    }

    /// Whether this process has opened the pins.
    pub(super) fn are_open(&self) -> bool {
        self.holder.is_some()
    }

    /// Whether `other` pins by the same number, or neither by any.
    pub(super) fn is_same(&self, other: &ReaderPins) -> bool {
        match (&self.holder, &other.holder) {
            (Some(Some(own)), Some(Some(other))) => Arc::ptr_eq(own, other),
            (own, other) => own.is_some() == other.is_some() && own.iter().chain(other).all(Option::is_none),
        }
    }

    /// A pin of the channel of this page, and the promise for what is pinned; `None` if the channel
    /// has no pins, or none is free, or this process may not store to them.
    pub(super) fn take(
        &mut self,
        segments: &Segments,
        page: &ControlPage<ReadOnlyWords>,
    ) -> Option<(Pin, TrustedWriters)> {
        let promise = self.promise.filter(|_| page.pins() > 0)?;
        let is_ours = |it: &Option<Arc<PinHolder>>| it.as_ref().is_none_or(|it| it.owner.is_ours());
        if !self.holder.as_ref().is_some_and(is_ours) {
            self.holder = match PinHolder::open(segments, page, page.first()?.pins_at()?) {
                // At the next view, the process may have a descriptor or a mapping left.
                Err(ObjectError::Limit { .. }) => None,
                opened => Some(opened.ok().flatten().map(Arc::new)),
            };
        }
        Some((self.holder.as_ref()?.as_ref()?.take()?, promise))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::memory::MemoryMut;

    /// A holder among others, of which those up to `dead` are dead. Counts the questions.
    #[derive(Debug, Default)]
    struct Counting {
        dead: AtomicU64,
        asked: AtomicU64,
    }

    impl Holder for Arc<Counting> {
        fn number(&self) -> u64 {
            1_000
        }

        fn exists(&self, number: u64) -> bool {
            self.asked.fetch_add(1, Relaxed);
            number > self.dead.load(Relaxed)
        }
    }

    #[test]
    fn refused_views_seldom_look_for_dead_readers_and_find_them_nevertheless() {
        for count in [1, 8, pins::MAX] {
            let (page, counting) = (Words::zeroed(pins::WORDS), Arc::new(Counting::default()));
            let holder = Arc::new(PinHolder {
                pins: Pins::new(page.clone(), count),
                holder: Box::new(Arc::clone(&counting)),
                owner: ForkToken::take(),
                refused: AtomicU32::new(0),
            });
            (0..count).for_each(|pin| page.store(pins::HOLDERS + pin, pin as u64 + 1));
            // How often views that are refused ask for a holder, by the number of pins.
            let looks = |views: u32| {
                (0..views).for_each(|_| assert!(holder.take().is_none()));
                let asked = counting.asked.swap(0, Relaxed);
                assert_eq!(asked % count as u64, 0);
                asked / count as u64
            };
            assert_eq!(looks(1), 1, "the first one looks");
            assert_eq!(looks(PAUSE - 1), u64::from(PAUSE.ilog2()));
            assert_eq!(looks(100 * PAUSE), 100);
            looks(PAUSE / 2 + 3);

            // A dead reader's pin is found, and then the next refusal looks at once.
            counting.dead.store(1, Relaxed);
            let taken = (1..).find_map(|views| holder.take().map(|pin| (views, pin)));
            let (views, pin) = taken.unwrap();
            assert_eq!((views, pin.index()), (PAUSE / 2 - 3, 0));
            counting.asked.store(0, Relaxed);
            assert_eq!(looks(1), 1);

            // A free one needs no look.
            drop(pin);
            assert!(holder.take().is_some());
            assert_eq!(looks(0), 0);
        }
    }
}
