//! The word of a slot that says which publication stands in it, and whether whole.

use crate::layout::Publication;
use crate::memory::{Memory, MemoryMut, Slot};

/// The stamp of a slot.
pub(crate) struct Stamp<'a, M>(pub(crate) Slot<'a, M>);

impl<M: Memory> Stamp<'_, M> {
    /// r5: whether the slot still holds `publication`, whole. Means something only after the acquire fence of r4.
    #[inline]
    pub(crate) fn is_whole(&self, publication: Publication) -> bool {
        self.0.stamp() == publication.stamp_whole()
    }
}

impl<M: MemoryMut> Stamp<'_, M> {
    /// w1: the slot is invalid from here on. The fence that makes it so for readers is the caller's next step.
    #[inline]
    pub(crate) fn begin(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_writing());
    }

    /// w4: the slot is whole. Relaxed: ordered before the announcement by w5's release, and nobody looks for this
    /// stamp before having seen the announcement.
    #[inline]
    pub(crate) fn finish(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_whole());
    }
}
