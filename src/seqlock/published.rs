//! The word that says which publication is the latest.

use crate::layout::{Publication, control};
use crate::memory::{Memory, MemoryMut};

/// The `published` word of a control page.
pub(crate) struct Published<'a, M>(pub(crate) &'a M);

impl<M: Memory> Published<'_, M> {
    /// r1: the latest publication, and everything that its writer did before announcing it.
    ///
    /// `None` before the first one. A number beyond [`Publication::MAX`] is `None` too: no writer ever stores it.
    #[inline]
    pub(crate) fn latest(&self) -> Option<Publication> {
        let number = self.0.load(control::PUBLISHED);
        // Acquire: the loads of generation, slot header and payload must not be satisfied from before this number was
        // read, or a reader that knows of publication n could copy what the slot held before n; its stamp check could
        // not tell when the slot's stamp is already n's. A fence and not an acquire load, because memory mapped
        // read-only promises Relaxed loads only. Pairs with the release store in `announce` (w5).
        self.0.fence_acquire();
        Publication::new(number)
    }

    /// The number alone, ordered before nothing: has anything changed?
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        self.0.load(control::PUBLISHED)
    }
}

impl<M: MemoryMut> Published<'_, M> {
    /// w5: makes `publication` the latest one.
    #[inline]
    pub(crate) fn announce(&self, publication: Publication) {
        // Release: the stores of payload, slot header, stamp and, after growth, generation must not sink below this
        // one, or a reader that sees the new number could copy old words. Pairs with the acquire fence in `latest`
        // (r1).
        self.0.store_release(control::PUBLISHED, publication.get());
    }
}
