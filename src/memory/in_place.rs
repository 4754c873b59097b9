//! Payloads in place, as references.

use std::slice;

use super::ReadOnlyWords;
use super::slots::Slot;
use crate::layout::WORD_BYTES;

/// The user's promise that nothing but the channel's writers changes the memory of a channel.
///
/// It lets a reader show publications in place, as `&[u8]` or `&T`:
/// [`ReaderBuilder::views_in_place`](crate::ReaderBuilder::views_in_place). Rust requires that the
/// memory behind a reference does not change. The writers of this library keep that, because they
/// leave pinned publications alone. But every process that may write to the channel's objects could
/// change them: by default, every process of the same user.
///
/// A namespace [in this process](crate::Namespace::in_process) needs no promise.
#[derive(Clone, Copy, Debug)]
pub struct TrustedWriters(());

impl TrustedWriters {
    /// Gives the promise.
    ///
    /// # Safety
    ///
    /// As long as a [`View`](crate::view::View) in place exists:
    ///
    /// * No process stores to the channel's objects, makes them shorter or punches holes into them,
    ///   but by the writers and readers of this library. (Readers store to the pins.)
    /// * This process closes no descriptor that it did not open (`close_range`): the kernel would
    ///   take the reader for dead.
    /// * No fork of this process uses the view, or a reference that was taken from it: when the
    ///   parent drops the view, the writer may change what the fork sees.
    #[must_use]
    pub const unsafe fn new() -> TrustedWriters {
        TrustedWriters(())
    }
}

/// The payload of a pinned publication, and the pin, `P`, which is dropped with it.
#[derive(Debug)]
pub(crate) struct InPlace<P> {
    /// Keeps the mapping.
    words: ReadOnlyWords,
    len: usize,
    /// Unpins when it is dropped.
    pin: P,
}

impl<P> InPlace<P> {
    /// The payload.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        let start = self.words.words().as_ptr().cast::<u8>();
        // SAFETY: the words have `len` bytes (`Slot::in_place`), are readable, and mapped as long
        // as `self` lives, which is longer than the reference. Their publication was announced
        // before the reader pinned it, so its stores happened before. While the pin exists, the
        // writer stores nothing to them, and nothing else does (`TrustedWriters`). Any bytes are a
        // value.
        unsafe { slice::from_raw_parts(start, self.len) }
    }

    pub(crate) fn pin(&self) -> &P {
        &self.pin
    }
}

/// For models: where a word is loaded as references load it, and where it is stored.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct PlainAccess(loom::cell::UnsafeCell<()>);

// SAFETY: no access uses the pointers, behind which is nothing. Loom only records when they are
// made.
#[cfg(test)]
unsafe impl Sync for PlainAccess {}

#[cfg(test)]
impl PlainAccess {
    /// Ends loom's model unless all stores happened before.
    pub(crate) fn load(&self) {
        self.0.with(|_| ());
    }

    /// Ends loom's model unless all loads happened before.
    pub(crate) fn store(&self) {
        self.0.with_mut(|_| ());
    }
}

impl Slot<'_, ReadOnlyWords> {
    /// The first `len` bytes of the payload, in place. Only for the channel's reader, which has
    /// pinned what the slot holds by `pin`.
    ///
    /// # Panics
    ///
    /// If the bytes reach beyond the capacity.
    pub(crate) fn in_place<P>(&self, len: usize, pin: P, _promise: TrustedWriters) -> InPlace<P> {
        assert!(len <= self.capacity(), "a payload is no larger than the capacity of its slot");
        InPlace { words: self.payload_words(len.div_ceil(WORD_BYTES)), len, pin }
    }
}
