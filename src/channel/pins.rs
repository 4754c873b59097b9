//! The pins of a channel, as its readers take them.

use std::sync::Arc;

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
        Ok(Some(PinHolder { pins, holder, owner: ForkToken::take() }))
    }

    /// A pin that no reader has, or that of a dead one.
    fn take(self: &Arc<Self>) -> Option<Pin> {
        let number = self.holder.number();
        let take = |index: usize, former: u64| {
            self.pins.take(index, former, number).then(|| Pin { holder: Arc::clone(self), index })
        };
        let all = || (0..self.pins.count()).map(|index| (index, self.pins.holder(index)));
        let free = all().filter(|(_, holder)| *holder == 0);
        if let Some(pin) = { free }.find_map(|(index, _)| take(index, 0)) {
            return Some(pin);
        }
        let mut dead = all().filter(|(_, holder)| *holder != 0 && !self.holder.exists(*holder));
        dead.find_map(|(index, holder)| take(index, holder))
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
