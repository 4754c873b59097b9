//! The states of a hub's channels: one, all that a pattern matches, or several as of one moment.

use std::any::TypeId;
use std::sync::Arc;

use super::attached::{Accepted, Readers, Shared, with_scratch};
use super::cut::{self, Cut, CutState, Cutting, Skew};
use super::error::QueryError;
use super::{Hub, HubStatistics, Status};
use crate::accept::Accept;
use crate::channel::{ChannelReader, ReaderStatistics, SnapshotError, SnapshotInfo};
use crate::codec::{CodecError, Decode, Direct, Strategy};
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;

/// A channel of a [`Hub`] and its latest state. In a round over a
/// [`Selection`](super::Selection) the name is borrowed.
#[derive(Debug)]
#[non_exhaustive]
pub struct HubState<T, N = Arc<str>> {
    /// The channel's name.
    pub channel: N,
    /// Its latest state, or the reason why there is none.
    pub state: Result<Snapshot<T>, QueryError>,
}

impl<C: 'static, A: 'static> Hub<C, A> {
    /// A whole copy of the latest state of `channel`.
    ///
    /// If the channel was removed and created again, the hub attaches to the new one. Progress and
    /// cost: as [`Reader::snapshot`](crate::Reader::snapshot), and a look-up. Plain data is
    /// returned by value: for more than a few hundred bytes [`Hub::get_into`] is faster, and a
    /// state that is too large for the stack is read as a [`Boxed`](crate::Boxed).
    ///
    /// # Errors
    ///
    /// [`QueryError`], at once if there is no such channel or no publication yet.
    #[inline]
    pub fn get<T: 'static>(&self, channel: &str) -> Result<Snapshot<T>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let (_, info) = self.receive::<T>(channel, &mut direct.destination(&mut state))?;
            return Ok(Snapshot::new(state, info));
        }
        self.decode::<T, T>(channel, C::decode)
    }

    /// Replaces `state` by the latest state of `channel`; the codec may reuse memory that `state`
    /// owns. Plain data is copied from shared memory straight into `state`, so it may be larger
    /// than a thread's stack.
    ///
    /// # Errors
    ///
    /// As [`Hub::get`]. After an error a decoded `state` is unchanged; a state that is copied
    /// directly ([`Pod`](crate::Pod), [`Bytes`](crate::Bytes)) holds unspecified bytes.
    pub fn get_into<T: 'static>(&self, channel: &str, state: &mut T) -> Result<SnapshotInfo, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        if let Strategy::Direct(direct) = C::strategy() {
            return self.receive::<T>(channel, &mut direct.destination(state)).map(|(_, info)| info);
        }
        self.decode::<T, ()>(channel, |payload| C::decode_into(payload, state)).map(|done| done.info())
    }

    /// The status of the worker that writes `channel`, and its latest state, of one moment: the
    /// health is that of the worker with this state. For a dashboard that shows both.
    ///
    /// Cost: that of [`Hub::status`], and of a slow [`Hub::get`].
    ///
    /// # Errors
    ///
    /// As [`Hub::status`]; also if the channel has been removed, or has another format. If there is
    /// no state yet, or it can't be read or decoded, the status comes with that error.
    pub fn get_with_status<T: 'static>(
        &self,
        channel: &str,
    ) -> Result<(Status, Result<Snapshot<T>, QueryError>), QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        self.with_room(|| {
            let (mut reader, accepted) = self.shared.reader_of::<T, C, A>(channel, None)?;
            let both = self.status_with(&mut reader, |reader| {
                let state = snapshot_of::<C, T>(reader, &accepted);
                let info = state.as_ref().ok().map(Snapshot::info);
                (state, info)
            });
            self.shared.keep(&reader, Some(accepted));
            both
        })
    }

    /// The latest states of all channels that [`Hub::channels`] lists for `pattern`. Each is read
    /// when the iterator gets there. If a state can't be read (the channel has been removed since
    /// the listing, has another type, or has no publication yet), the item has the error.
    ///
    /// The states are of different moments: see [`Hub::cut`] for one moment. To ask for the same
    /// channels again and again, [`Hub::select`] is several times as fast.
    ///
    /// # Errors
    ///
    /// As [`Hub::channels`].
    pub fn iter<T: 'static>(&self, pattern: &str) -> Result<impl Iterator<Item = HubState<T>>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let hub = self.clone();
        Ok(self.channels(pattern)?.into_iter().map(move |channel| {
            let state = hub.get(&channel);
            HubState { channel, state }
        }))
    }

    /// The *published* states of `channels` as of one moment: a total over all workers, for
    /// example, in which nothing is missing or counted twice.
    ///
    /// **A cut sees published states only.** A worker that lets others observe an effect before it
    /// has published the cause makes totals wrong. A [`Syncer`](crate::syncer::Syncer) publishes
    /// later than its caller changes the state, so its states are [`Skew::Deferred`] and no cut
    /// with them is consistent, unless the worker [flushes before
    /// effects](crate::syncer::SyncerBuilder::flushes_before_effects).
    ///
    /// The cut copies all states and then checks whether any writer has published in between. If
    /// none has, they are the states of one [instant](super::CutTime::Instant). After some failures
    /// it takes the states that were current at a [time](super::CutTime::AsOf) just before, by the
    /// timestamps in the channels' rings. If a ring does not reach back so far (see
    /// [`WriterBuilder`](crate::WriterBuilder)), the cut takes a later publication, and
    /// [`CutState::skew`] returns the difference. No cut is silently inconsistent.
    ///
    /// A consistent cut respects causes: if a worker published b after it had learned that another
    /// worker published a, a cut with b has a or a later state. By timestamps that takes
    /// [`TimestampSource::Precise`](crate::clock::TimestampSource::Precise): other timestamps make
    /// a cut inconsistent, and the skew has the reason.
    ///
    /// If a worker's state can't be read, or the channel had no publication at that moment, its
    /// place has the error. Plain data is returned by value, as by [`Hub::get`]. Progress: bounded.
    /// Cost: four copies of each state, then one for each attempt that the hub's retry policy
    /// allows, and decoding each state once.
    pub fn cut<T: 'static>(&self, channels: impl IntoIterator<Item = impl AsRef<str>>) -> Cut<T>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let mut cutting = Vec::new();
        let mut queries = Vec::new();
        let begin = |channel: Arc<str>| match self.shared.reader_of::<T, C, A>(&channel, None) {
            Ok((reader, accepted)) => {
                cutting.push(Cutting::new(&self.shared, reader));
                queries.push(accepted);
                (channel, Ok(cutting.len() - 1))
            }
            Err(error) => (channel, Err(error)),
        };
        let places: Vec<_> = channels.into_iter().map(|channel| channel.as_ref().into()).map(begin).collect();
        let moment = cut::cut(&mut cutting, self.shared.options.reading.retry);
        let states = places.into_iter().map(|(channel, place)| {
            let (state, skew) = match place {
                Ok(index) => (self.state_of::<T>(&mut cutting[index], &queries[index]), cutting[index].skew),
                Err(error) => (Err(error), Skew::None),
            };
            CutState { channel, state, skew }
        });
        Cut { moment, states: states.collect() }
    }

    fn state_of<T: 'static>(
        &self,
        cut: &mut Cutting<'_>,
        accepted: &Accepted,
    ) -> Result<Snapshot<T>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let channel = cut.reader.channel();
        self.shared.keep(&cut.reader, Some(accepted.clone()));
        if cut.reader.is_removed() {
            // The cut may have the state of a new channel of that name: the two never existed
            // together.
            return Err(cut.reader.closed().into());
        }
        match (cut.failed.take(), cut.received) {
            (Some(error), _) => Err(error),
            (None, None) => Err(SnapshotError::Empty { channel: channel.into() }.into()),
            (None, Some(info)) => {
                if let (Strategy::Direct(direct), Some(plan)) = (C::strategy(), accepted.plan()) {
                    let mut state = direct.blank();
                    plan.copy(channel, info, &cut.payload, &mut direct.destination(&mut state))?;
                    return Ok(Snapshot::new(state, info));
                }
                decoded::<C, T, T>(channel, info, C::decode(&cut.payload))
            }
        }
    }

    /// [`Hub::get`], with the instance of the channel.
    #[cfg(feature = "async")]
    pub(super) fn get_with_instance<T: 'static>(
        &self,
        channel: &str,
    ) -> Result<(u64, Snapshot<T>), QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let (instance, info) = self.receive::<T>(channel, &mut direct.destination(&mut state))?;
            return Ok((instance, Snapshot::new(state, info)));
        }
        with_scratch(|scratch| {
            let (instance, info) = self.receive::<T>(channel, &mut &mut *scratch)?;
            Ok((instance, decoded::<C, T, T>(channel, info, C::decode(scratch))?))
        })
    }

    /// Copies the latest payload into this thread's buffer and decodes it.
    #[inline]
    fn decode<T: 'static, R>(
        &self,
        channel: &str,
        decode: impl FnOnce(&[u8]) -> Result<R, CodecError>,
    ) -> Result<Snapshot<R>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        with_scratch(|scratch| {
            let (_, info) = self.receive::<T>(channel, &mut &mut *scratch)?;
            decoded::<C, T, R>(channel, info, decode(scratch))
        })
    }

    /// Copies the latest payload of a channel whose states have type `T`; returns the channel's
    /// instance, too. Usually the channel is attached, and the first attempt succeeds.
    #[inline]
    fn receive<T: 'static>(
        &self,
        channel: &str,
        destination: &mut impl Destination,
    ) -> Result<(u64, SnapshotInfo), QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        self.shared.follow_now_and_then();
        let guard = self.shared.guard();
        if let Some(attached) = self.shared.find(channel, &guard)
            && attached.holds(TypeId::of::<(T, C, A)>())
            && let reader = attached.reader_at(self.shared.counts.attachments())
            && let Ok(info) = reader.try_fast(destination)
        {
            return Ok((reader.instance(), info));
        }
        drop(guard);
        let (reader, _, info) = slow_receive::<T, C, A>(&self.shared, channel, destination, None)?;
        Ok((reader.instance(), info))
    }
}

/// The same if the channel is not attached, not known to be accepted, or if the first attempt
/// failed. Also returns the reader, and how it is accepted. `round` has the readers of the
/// selection that this thread reads.
#[cold]
pub(super) fn slow_receive<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
    shared: &Shared,
    channel: &str,
    destination: &mut impl Destination,
    round: Option<&mut Readers>,
) -> Result<(ChannelReader, Accepted, SnapshotInfo), QueryError> {
    let receive = |round: Option<&mut Readers>| {
        let (mut reader, accepted) = shared.reader_of::<T, C, A>(channel, round)?;
        let before = reader.statistics();
        let received = copy_latest(&mut reader, &accepted, destination);
        let ReaderStatistics { retries, remaps, give_ups, .. } = reader.statistics().diff(&before);
        let done = HubStatistics { slow_queries: 1, retries, remaps, give_ups, ..HubStatistics::default() };
        shared.counts.add(done);
        shared.keep(&reader, Some(accepted.clone()));
        Ok((reader, accepted, received?))
    };
    shared.with_room(round, |received| received.as_ref().err(), receive)
}

/// The latest state of a channel that the reader's query has accepted.
fn snapshot_of<C: Decode<T>, T>(
    reader: &mut ChannelReader,
    accepted: &Accepted,
) -> Result<Snapshot<T>, QueryError> {
    if let Strategy::Direct(direct) = C::strategy() {
        let mut state = direct.blank();
        let info = copy_latest(reader, accepted, &mut direct.destination(&mut state))?;
        return Ok(Snapshot::new(state, info));
    }
    with_scratch(|scratch| {
        let info = copy_latest(reader, accepted, &mut &mut *scratch)?;
        decoded::<C, T, T>(reader.channel(), info, C::decode(scratch))
    })
}

fn copy_latest(
    reader: &mut ChannelReader,
    accepted: &Accepted,
    destination: &mut impl Destination,
) -> Result<SnapshotInfo, SnapshotError> {
    match accepted.plan() {
        Some(plan) => with_scratch(|scratch| plan.snapshot(reader, scratch, destination)),
        None => reader.snapshot(destination),
    }
}

/// The snapshot of a decoded payload, or the error of the codec.
#[inline]
pub(super) fn decoded<C: Decode<T>, T, R>(
    channel: &str,
    info: SnapshotInfo,
    decoded: Result<R, CodecError>,
) -> Result<Snapshot<R>, QueryError> {
    decoded.map(|state| Snapshot::new(state, info)).map_err(|source| {
        let (channel, publication) = (channel.to_owned(), info.publication());
        SnapshotError::Decode { channel, publication, codec: C::NAME, source }.into()
    })
}
