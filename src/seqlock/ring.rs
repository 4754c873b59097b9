//! One segment as a ring of slots: writing one, and one attempt at reading one.

use super::stamp::Stamp;
use crate::layout::{Geometry, Publication};
use crate::memory::{Memory, MemoryMut, Slot, Slots};

/// The slots of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Ring<M>(pub(super) Slots<M>);

/// What stands beside a payload in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Details {
    /// Payload length in bytes.
    pub(crate) len: usize,
    /// When it was published, in nanoseconds of the monotonic clock; 0 if that is not recorded.
    pub(crate) time: u64,
    /// Its checksum, where the channel has any.
    pub(crate) checksum: u64,
}

/// Where a payload is copied to: private memory of the reader.
pub trait Destination {
    /// Room for a payload of `len` bytes (at most the segment's capacity), or for the part of it that is wanted; `None`
    /// if that length can't be taken.
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Where in the payload the part begins that is wanted.
    #[inline]
    fn offset(&self) -> usize {
        0
    }

    /// What the last copy left there; of a destination that refused, what it would have taken.
    fn bytes(&self) -> &[u8];
}

/// What came of one attempt at a slot. All but `Torn` are verified: they are what the writer published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// The destination holds the payload.
    Whole(Details),
    /// The writer came back to the slot while it was being copied. What the destination holds means nothing.
    Torn,
    /// The destination refused the length.
    Refused {
        /// The payload's length in bytes.
        len: usize,
    },
    /// The slot says that it holds more than there is room for: no writer of ours wrote that.
    Implausible {
        /// The length it claims.
        len: u64,
    },
}

impl<M: Memory> Ring<M> {
    /// # Panics
    ///
    /// If the memory is smaller than the geometry.
    pub(crate) fn new(memory: M, geometry: Geometry) -> Ring<M> {
        Ring(Slots::new(memory, geometry))
    }

    #[inline]
    pub(crate) fn geometry(&self) -> Geometry {
        self.0.geometry()
    }

    #[inline]
    pub(crate) fn memory(&self) -> &M {
        self.0.memory()
    }

    /// Whether `publication` stands here, whole. Means something only while nobody writes.
    pub(crate) fn holds(&self, publication: Publication) -> bool {
        self.date_of(publication).is_some()
    }

    /// When `publication` was published, as [`Details::time`] says, if it stands here, whole. Means something only while
    /// nobody writes.
    pub(crate) fn date_of(&self, publication: Publication) -> Option<u64> {
        let slot = self.0.slot(publication.turn());
        let [len, time, _] = slot.header();
        let fits = len <= slot.capacity() as u64;
        (Stamp(slot).is_whole(publication) && fits).then_some(time)
    }

    /// r2 to r5: one attempt to copy `publication` into `destination`. Wait-free; stores nothing in shared memory.
    #[inline(always)]
    pub(crate) fn read(&self, publication: Publication, destination: &mut impl Destination) -> Reading {
        let slot = self.0.slot(publication.turn());
        // r2, r3: from here to the fence everything read may belong to different publications.
        let reading = copy_out(&slot, destination);
        // Acquire: the loads of the copy must not be satisfied after the stamp's load below, or the writer could come
        // back to the slot in between and the stamp would still look untouched. Pairs with the release fence in
        // `write` (w2): if any word of the copy came from a later write of the slot, that fence and this one make the
        // odd stamp before it visible here.
        self.memory().fence_acquire();
        if Stamp(slot).is_whole(publication) { reading } else { Reading::Torn }
    }
}

/// r2, r3. Each word is loaded once; what it decides is decided on the local.
#[inline(always)]
fn copy_out<M: Memory>(slot: &Slot<'_, M>, destination: &mut impl Destination) -> Reading {
    let [len, time, checksum] = slot.header();
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= slot.capacity()) else {
        return Reading::Implausible { len };
    };
    let offset = destination.offset();
    let Some(buffer) = destination.buffer(len) else {
        return Reading::Refused { len };
    };
    slot.read(offset, buffer);
    Reading::Whole(Details { len, time, checksum })
}

impl<M: MemoryMut> Ring<M> {
    /// w1 to w4: writes `publication` into its slot, where no reader looks for it before it is announced. Wait-free.
    ///
    /// # Panics
    ///
    /// If the payload is larger than the geometry's capacity: the caller has grown the segment before.
    #[inline(always)]
    pub(crate) fn write(&self, publication: Publication, payload: &[u8], time: u64, checksum: u64) {
        let slot = self.0.slot(publication.turn());
        assert!(payload.len() <= slot.capacity(), "the segment was grown for this payload");
        let stamp = Stamp(slot);
        stamp.begin(publication);
        // Release: the stores of the new payload must not become visible before the odd stamp above, or a reader that
        // is copying the slot's previous publication could take words of the new one and still find the old stamp.
        // A release *store* of the stamp would not do: it orders what is before it, not what is after. Pairs with the
        // acquire fence in `read` (r4).
        self.memory().fence_release();
        stamp.0.set_header([payload.len() as u64, time, checksum]);
        stamp.0.write(payload);
        stamp.finish(publication);
    }
}

/// A part of a payload.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) offset: usize,
    pub(crate) into: &'a mut [u8],
}

impl Destination for Part<'_> {
    /// Takes any payload that has the part.
    #[inline]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.offset.checked_add(self.into.len())?;
        (end <= len).then_some(self.into)
    }

    #[inline]
    fn offset(&self) -> usize {
        self.offset
    }

    fn bytes(&self) -> &[u8] {
        self.into
    }
}

impl Destination for &mut Vec<u8> {
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.capacity() {
            // What stands there is about to be overwritten: fresh zeroes are cheaper than moving it and zeroing the rest.
            **self = vec![0; len];
        } else {
            self.resize(len, 0);
        }
        Some(self)
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Destination for &mut [u8] {
    /// Takes exactly its own length.
    #[inline]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        (len == self.len()).then_some(self)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}
