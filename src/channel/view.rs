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

/// States of channels that hold fewer bytes are copied: that takes no longer than a pin.
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
        // A length that was refused may have been stored before there was room for it.
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        &bytes[..self.len.min(bytes.len())]
    }
}

impl ChannelReader {
    /// Another view of the publication that `last` shows, if that is still the latest one.
    pub(crate) fn view_again(&mut self, last: &Weak<ChannelView>) -> Option<Arc<ChannelView>> {
        let is_usable = |view: &Arc<ChannelView>| view.is_latest() && view.is_ours() && !self.is_removed();
        let last = last.upgrade().filter(is_usable)?;
        self.counts.views += 1;
        Some(last)
    }

    /// A view of the latest publication: in place if that can be and `may_show` says so, otherwise
    /// the copy that `copy` makes. `expected` is the only length that is accepted, if it is known.
    pub(crate) fn view(
        &mut self,
        expected: Option<usize>,
        may_show: bool,
        copy: impl FnOnce(&mut Self, &mut PayloadCopy) -> Result<SnapshotInfo, SnapshotError>,
    ) -> Result<Arc<ChannelView>, SnapshotError> {
        if may_show && let Some(view) = self.view_in_place(expected)? {
            return Ok(view);
        }
        let mut payload = PayloadCopy { words: Vec::new(), len: expected.unwrap_or(0), expected };
        let info = copy(self, &mut payload)?;
        self.counts.views += 1;
        self.counts.copied_views += 1;
        Ok(self.view_of(Payload::Copied(payload), info))
    }

    /// A view in place; `None` if that can't be. Bounded by the number of attempts of the retry
    /// policy.
    fn view_in_place(&mut self, expected: Option<usize>) -> Result<Option<Arc<ChannelView>>, SnapshotError> {
        let is_large = self.reader.capacity() >= MIN_LEN;
        let pin = is_large.then(|| self.pins.take(&self.segments, self.reader.control())).flatten();
        let Some((pin, promise)) = pin else { return Ok(None) };
        for _ in 0..self.retry.attempts.max(1) {
            if self.is_removed() {
                return Err(self.closed());
            }
            let (publication, slot, header) = match self.reader.pin(pin.pins(), pin.index()) {
                Ok(pinned) => pinned,
                Err(Attempt::Empty) => return Err(self.empty()),
                Err(Attempt::Remap { side, generation }) => match self.remap(side, generation)? {
                    None => continue,
                    Some(_) => return Ok(None),
                },
                Err(_) => {
                    self.counts.retries += 1;
                    continue;
                }
            };
            let info = SnapshotInfo::new(publication, header);
            if let Some(expected) = expected.filter(|expected| *expected != info.payload_len()) {
                return Err(self.wrong_length(publication, info.payload_len(), expected));
            }
            let payload = slot.in_place(info.payload_len(), pin, promise);
            if self.checksum && checksum_of_publication(publication, payload.bytes()) != header.checksum {
                return Err(self.corrupt(publication, "its checksum does not match"));
            }
            self.counts.views += 1;
            return Ok(Some(self.view_of(Payload::InPlace(payload), info)));
        }
        Ok(None)
    }

    fn view_of(&self, payload: Payload, info: SnapshotInfo) -> Arc<ChannelView> {
        Arc::new(ChannelView { payload, info, page: self.page().clone() })
    }
}
