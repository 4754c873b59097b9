//! The last publications that a channel still holds.

use super::Reader;
use crate::channel::{SnapshotError, SnapshotInfo};
use crate::codec::{Decode, Direct, Strategy};
use crate::layout::Publication;
use crate::snapshot::Snapshot;

/// The publications that a channel still holds, newest first. Made by [`Reader::history`].
#[derive(Debug)]
pub struct History<'a, T, C> {
    reader: &'a mut Reader<T, C>,
    latest: u64,
    next: u64,
}

impl<T, C: Decode<T>> Reader<T, C> {
    /// The last publications that the channel's rings still hold, newest first; also those of a dead writer.
    ///
    /// Each is copied and validated when the iterator gets there, so that one that a busy writer overwrites meanwhile is
    /// left out. There are up to [`Writer::depth`](crate::Writer::depth) of them: how many is chosen with
    /// [`WriterBuilder::depth`](crate::WriterBuilder::depth), and paid with that many times the capacity in memory. A
    /// growth of the channel leaves those of its side behind.
    ///
    /// Items are errors where a publication was found but can't be decoded, or its checksum is wrong; the next one is
    /// independent of that. Progress: each item is wait-free, once the segments are mapped. Cost: as a snapshot, for each.
    pub fn history(&mut self) -> History<'_, T, C> {
        let latest = self.channel.page().publication_acquired();
        History { reader: self, latest, next: latest }
    }

    /// The publication of this number, if the channel still holds it: the one of a moment ago that another channel refers
    /// to, for example. `None` if it is overwritten or not published yet.
    ///
    /// Progress: wait-free, once the segments are mapped. Cost: as a snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`], if it was found but can't be decoded, or its checksum is wrong.
    pub fn snapshot_at(&mut self, number: u64) -> Result<Option<Snapshot<T>>, SnapshotError> {
        match Publication::new(number) {
            Some(publication) if number <= self.channel.page().publication_acquired() => {
                self.take_old(publication)
            }
            _ => Ok(None),
        }
    }

    /// A publication that is announced.
    fn take_old(&mut self, publication: Publication) -> Result<Option<Snapshot<T>>, SnapshotError> {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = self.channel.read_publication(publication, &mut direct.destination(&mut state))?;
            return Ok(info.map(|info| Snapshot::new(state, info)));
        }
        let Some(info) = self.channel.read_publication(publication, &mut &mut self.scratch)? else {
            return Ok(None);
        };
        self.decoded(info).map(Some)
    }

    pub(super) fn decoded(&self, info: SnapshotInfo) -> Result<Snapshot<T>, SnapshotError> {
        let state = C::decode(&self.scratch).map_err(|source| self.undecodable(info, source))?;
        Ok(Snapshot::new(state, info))
    }
}

impl<T, C: Decode<T>> Iterator for History<'_, T, C> {
    type Item = Result<Snapshot<T>, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        // The first look at either side maps it; before that nothing is known about how far back there is anything.
        while let Some(publication) = Publication::new(self.next)
            && self.latest - self.next < self.reader.channel.reach().max(2)
        {
            self.next -= 1;
            match self.reader.take_old(publication) {
                Ok(None) => {}
                Ok(Some(snapshot)) => return Some(Ok(snapshot)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl<T, C: Decode<T>> std::iter::FusedIterator for History<'_, T, C> {}
