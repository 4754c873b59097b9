//! The slot that a writer lends.

use std::time::Duration;

use super::super::PublishError;
use super::super::segments::checksum_in_parts;
use super::super::status::time_at;
use super::{ChannelWriter, Lent};
use crate::clock::WriterClock;
use crate::layout::Publication;
use crate::memory::{LoanMut, Slot, SlotHeader, Words};

/// The slot of the next publication, which may be filled until it is published or dropped. It has
/// begun: w1 and w2 are done.
pub(crate) struct ChannelLoan<'a> {
    pub(in crate::channel) writer: &'a mut ChannelWriter,
    pub(in crate::channel) publication: Publication,
    len: usize,
    /// The bytes of the loan, if readers of this process must not see them change.
    copy: Option<Vec<u64>>,
}

impl<'a> ChannelLoan<'a> {
    /// The caller has made room for it, and begun it.
    #[inline]
    pub(super) fn new(writer: &'a mut ChannelWriter, publication: Publication, len: usize) -> Self {
        ChannelLoan { writer, publication, len, copy: None }
    }

    pub(in crate::channel) fn slot(&self) -> Slot<'_, Words> {
        self.writer.slot_of_loan(self.publication)
    }

    /// The number that it is published under.
    pub(crate) fn publication(&self) -> u64 {
        self.publication.get()
    }

    pub(crate) fn channel(&self) -> &str {
        self.writer.channel()
    }

    /// Bytes that it may be filled with.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives a heartbeat, as [`ChannelWriter::touch`] does.
    pub(crate) fn touch(&mut self) -> Result<(), PublishError> {
        self.writer.touch()
    }

    /// Publishes no more than the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Stores `bytes` at byte `offset`. In a fork it does nothing.
    ///
    /// # Panics
    ///
    /// If they reach beyond the end.
    #[inline]
    #[track_caller]
    pub(crate) fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.len),
            "{} bytes at offset {offset} reach beyond the loan of channel {:?}, which has {}: ask for a larger one",
            bytes.len(),
            self.channel(),
            self.len
        );
        match &mut self.copy {
            Some(copy) => {
                bytemuck::cast_slice_mut(copy.as_mut_slice())[offset..][..bytes.len()].copy_from_slice(bytes);
            }
            None if self.writer.owner.is_ours() => self.slot().write_at(offset, bytes),
            None => {}
        }
    }

    /// Its memory. In a fork it is the parent's.
    pub(crate) fn lend<T: ?Sized>(&mut self) -> LoanMut<'_, T> {
        let ChannelLoan { writer, publication, len, copy } = self;
        writer.slot_of_loan(*publication).lend(*len, copy)
    }

    /// Keeps the memory of [`ChannelLoan::lend`] mapped; `None` if that is a copy.
    pub(crate) fn keep(&self) -> Option<Words> {
        self.slot().keep(self.len)
    }

    /// w3's header to w5, p1 to p3: publishes the loan and returns its number. Wait-free.
    #[inline]
    pub(crate) fn publish(self) -> Result<u64, PublishError> {
        self.publish_at(WriterClock::timestamp, None)
    }

    /// The same as the publication of another host that has the number `origin` there, and is `age`
    /// old.
    pub(super) fn publish_mirrored(self, origin: u64, age: Option<Duration>) -> Result<u64, PublishError> {
        self.publish_at(|clock| time_at(clock.precise(), age), Some(origin))
    }

    /// The same with this time, and with the number `origin` in place of a checksum.
    #[inline(always)]
    pub(super) fn publish_at(
        mut self,
        time: impl FnOnce(&mut WriterClock) -> u64,
        origin: Option<u64>,
    ) -> Result<u64, PublishError> {
        if !self.writer.owner.is_ours() {
            let forked = self.writer.forked();
            return Err(self.writer.failed(forked));
        }
        if let Some(copy) = self.copy.take() {
            let bytes = &bytemuck::cast_slice(&copy)[..self.len];
            self.slot().write_at(0, bytes);
        }
        let checksum = match origin {
            Some(number) => number,
            None if self.writer.options.checksum => self.checksum(),
            None => 0,
        };
        let ChannelLoan { writer, publication, len, .. } = &mut self;
        let (publication, len) = (*publication, *len);
        let (time, waiting) = (time(&mut writer.clock), writer.waker.count());
        let header = SlotHeader { len: len as u64, time, checksum };
        match writer.lent.take() {
            None => writer.writer.publish_loan(publication, header),
            Some(Lent { side, segment, .. }) => {
                let replaced = writer.writer.publish_grown_loan(publication, segment, header);
                writer.count_growth(side, &replaced);
                writer.update_admitted();
            }
        }
        // The time of another host's state is no sign of life of this writer.
        let time = if origin.is_some() { writer.clock.precise() } else { time };
        Ok(writer.published(publication, len, time, waiting, writer.waker.wake_mode))
    }

    /// The checksum of what is in the slot.
    #[cold]
    fn checksum(&self) -> u64 {
        let slot = self.slot();
        checksum_in_parts(self.publication, self.len, |offset, part| slot.read(offset, part))
    }
}

impl Drop for ChannelLoan<'_> {
    /// Takes back a loan that is not published. In a fork it does nothing: the parent has the loan.
    fn drop(&mut self) {
        let is_published = self.writer.last() >= self.publication.get();
        if is_published || !self.writer.owner.is_ours() {
            return;
        }
        match self.writer.lent {
            None => self.writer.writer.give_up(self.publication),
            Some(_) => self.writer.unlink_lent(),
        }
    }
}
