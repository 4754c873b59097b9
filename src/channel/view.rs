//! Publications in place: what a reader pins, and the copy for what it can't.

use std::sync::{Arc, Weak};

use super::control_page::ControlPage;
use super::pins::Pin;
use super::reader::ChannelReader;
use super::segments::checksum_of_publication;
use super::{SnapshotError, SnapshotInfo};
use crate::layout::WORD_BYTES;
use crate::memory::{InPlace, ReadOnlyWords};
use crate::seqlock::{Attempt, Destination};

/// Smaller states are copied, which takes no longer than pinning them.
const MIN_LEN: usize = 4 << 10;

/// A publication that does not change as long as it is held.
#[derive(Debug)]
pub(crate) struct ChannelView {
    payload: Payload,
    pub(crate) info: SnapshotInfo,
    page: ControlPage<ReadOnlyWords>,
}

#[derive(Debug)]
enum Payload {
    InPlace(InPlace<Pin>),
    Copied(PayloadCopy),
}

/// A copy of a payload, aligned to words.
#[derive(Debug)]
pub(crate) struct PayloadCopy {
    words: Vec<u64>,
    len: usize,
    /// The only length that is accepted, if it is known.
    expected: Option<usize>,
}

impl ChannelView {
    /// Another view of the publication that `last` shows, if that is still the latest one.
    pub(crate) fn again(reader: &mut ChannelReader, last: &Weak<Self>) -> Option<Arc<Self>> {
        let is_usable = |view: &Arc<Self>| view.is_latest() && view.is_ours() && !reader.is_removed();
        let last = last.upgrade().filter(is_usable)?;
        reader.counts.views += 1;
        reader.counts.copied_views += u64::from(!last.is_in_place());
        Some(last)
    }

    /// A view of the latest publication: in place if that can be and `may_show` says so, otherwise
    /// the copy that `copy` makes. `expected` is the only length that is accepted, if it is known.
    pub(crate) fn take(
        reader: &mut ChannelReader,
        expected: Option<usize>,
        may_show: bool,
        copy: impl FnOnce(&mut ChannelReader, &mut PayloadCopy) -> Result<SnapshotInfo, SnapshotError>,
    ) -> Result<Arc<Self>, SnapshotError> {
        if may_show && let Some(view) = Self::take_in_place(reader, expected)? {
            return Ok(view);
        }
        let mut payload = PayloadCopy::new(expected);
        let info = copy(reader, &mut payload)?;
        reader.counts.views += 1;
        reader.counts.copied_views += 1;
        Ok(Self::new(reader, Payload::Copied(payload), info))
    }

    /// A view in place; `None` if that can't be. Bounded by the number of attempts of the retry
    /// policy.
    fn take_in_place(
        reader: &mut ChannelReader,
        expected: Option<usize>,
    ) -> Result<Option<Arc<Self>>, SnapshotError> {
        // A reader of small states opens no pins.
        let len = match expected {
            None if !reader.pins.are_open() => reader.latest_info().map(|info| info.payload_len()),
            expected => expected,
        };
        if len.is_some_and(|len| len < MIN_LEN) {
            return Ok(None);
        }
        let pin = reader.pins.take(&reader.segments, reader.reader.control());
        let Some((pin, promise)) = pin else { return Ok(None) };
        for _ in 0..reader.retry.attempts.max(1) {
            if reader.is_removed() {
                return Err(reader.closed());
            }
            let (publication, slot, header) = match reader.reader.pin(pin.pins(), pin.index()) {
                Ok(pinned) => pinned,
                Err(Attempt::Empty) => return Err(reader.empty()),
                Err(Attempt::Remap { side, generation }) => match reader.remap(side, generation)? {
                    None => continue,
                    Some(_) => return Ok(None),
                },
                Err(_) => {
                    reader.counts.retries += 1;
                    continue;
                }
            };
            let info = reader.info(publication, header);
            if let Some(expected) = expected.filter(|expected| *expected != info.payload_len()) {
                return Err(reader.wrong_length(publication, info.payload_len(), expected));
            }
            if info.payload_len() < MIN_LEN {
                return Ok(None);
            }
            let payload = slot.in_place(info.payload_len(), pin, promise);
            if reader.checksum && checksum_of_publication(publication, payload.bytes()) != header.checksum {
                return Err(reader.corrupt(publication, "its checksum does not match"));
            }
            reader.counts.views += 1;
            return Ok(Some(Self::new(reader, Payload::InPlace(payload), info)));
        }
        Ok(None)
    }

    fn new(reader: &ChannelReader, payload: Payload, info: SnapshotInfo) -> Arc<Self> {
        Arc::new(ChannelView { payload, info, page: reader.page().clone() })
    }

    /// The payload.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::InPlace(payload) => payload.bytes(),
            Payload::Copied(payload) => payload.bytes(),
        }
    }

    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.payload, Payload::InPlace(_))
    }

    /// Whether this process has the pin. A fork has its parent's views, not their pins.
    fn is_ours(&self) -> bool {
        match &self.payload {
            Payload::InPlace(payload) => payload.pin().is_ours(),
            Payload::Copied(_) => true,
        }
    }

    /// Whether no later publication was announced. One load.
    pub(crate) fn is_latest(&self) -> bool {
        self.page.publication() == self.info.publication()
    }
}

impl PayloadCopy {
    /// With room for the expected length.
    fn new(expected: Option<usize>) -> PayloadCopy {
        let len = expected.unwrap_or(0);
        PayloadCopy { words: vec![0; len.div_ceil(WORD_BYTES)], len, expected }
    }
}

impl Destination for PayloadCopy {
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        if self.expected.is_some_and(|expected| expected != len) {
            return None;
        }
        self.len = len;
        self.words.resize(len.div_ceil(WORD_BYTES), 0);
        Some(&mut bytemuck::cast_slice_mut(&mut self.words)[..len])
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}
