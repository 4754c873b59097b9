//! The word of a slot that says which publication the slot holds, and whether it is whole.

use crate::layout::Publication;
use crate::memory::{Memory, MemoryMut, Slot};

/// The stamp of a slot.
pub(crate) struct Stamp<'a, M>(pub(crate) Slot<'a, M>);

impl<M: Memory> Stamp<'_, M> {
    /// r5: whether the slot still holds `publication`, whole. Meaningful only after the acquire
    /// fence of r4.
    #[inline]
    pub(crate) fn is_whole(&self, publication: Publication) -> bool {
        self.0.stamp() == publication.stamp_whole()
    }
}

impl<M: MemoryMut> Stamp<'_, M> {
    /// w1: marks the slot as invalid. The caller's next step is the fence that makes readers see it
    /// so.
    #[inline]
    pub(crate) fn begin(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_writing());
    }

    /// w4: marks the slot as whole. Relaxed: w5's release orders it before the announcement, and no
    /// reader checks for this stamp before it has seen the announcement.
    #[inline]
    pub(crate) fn finish(&self, publication: Publication) {
        self.0.set_stamp(publication.stamp_whole());
    }
}
