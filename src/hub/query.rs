//! The states of a hub's channels: one, all that a pattern matches, or several as of one moment.

use std::any::TypeId;
use std::sync::Arc;

use super::Hub;
use super::attached::{Accepted, Readers, Shared, with_scratch};
use super::cut::{self, Cut, CutState, Cutting, Skew};
use super::report::{HubStatistics, QueryError, Status};
use crate::accept::Accept;
use crate::channel::{ChannelReader, ChannelView, ReaderStatistics, SnapshotError, SnapshotInfo};
use crate::codec::{Bytes, CodecError, Decode, Direct, Plain, Pod, Strategy};
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;
use crate::view::{self, View};

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
    /// state of more than 64 KiB has to be read so, or as a [`Boxed`](crate::Boxed).
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
            let (_, info) = receive::<T, C, A>(&self.shared, channel, &mut direct.destination(&mut state))?;
            return Ok(Snapshot::new(state, info));
        }
        decode::<T, C, A, T>(&self.shared, channel, C::decode).map(|(_, snapshot)| snapshot)
    }

    /// Replaces `state` by the latest state of `channel`; the codec may reuse memory that `state`
    /// owns. Plain data is copied from shared memory straight into `state`, so it may be larger
    /// than a thread's stack.
    ///
    /// # Errors
    ///
    /// As [`Hub::get`]. After an error a decoded `state` is unchanged; a state that is copied
    /// directly ([`Pod`], [`Bytes`]) holds unspecified bytes.
    pub fn get_into<T: 'static>(&self, channel: &str, state: &mut T) -> Result<SnapshotInfo, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        if let Strategy::Direct(direct) = C::strategy() {
            let destination = &mut direct.destination(state);
            return receive::<T, C, A>(&self.shared, channel, destination).map(|(_, info)| info);
        }
        let into = |payload: &[u8]| C::decode_into(payload, state);
        decode::<T, C, A, ()>(&self.shared, channel, into).map(|(_, done)| done.info())
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
        let begin = |channel: &str| {
            let attached = self.shared.reader_of::<T, C, A>(channel, None);
            attached.map(|(reader, accepted)| Cutting::new(&self.shared, reader, accepted))
        };
        let mut all: Vec<(Arc<str>, Result<_, _>)> =
            channels.into_iter().map(|channel| (channel.as_ref().into(), begin(channel.as_ref()))).collect();
        let mut cutting: Vec<_> = all.iter_mut().filter_map(|(_, cut)| cut.as_mut().ok()).collect();
        let moment = cut::cut(&mut cutting, self.shared.options.reading.retry);
        let states = all.into_iter().map(|(channel, cut)| {
            let skew = cut.as_ref().map_or(Skew::None, |cut| cut.skew);
            CutState { channel, state: cut.and_then(Cutting::state::<T, C>), skew }
        });
        Cut { moment, states: states.collect() }
    }
}

impl<A: 'static> Hub<Bytes, A> {
    /// The latest state of `channel`, in place if that can be, or as a copy: see
    /// [`view`].
    ///
    /// Cost: that of [`Reader::view`](crate::Reader), and of a slow [`Hub::get`].
    ///
    /// # Errors
    ///
    /// As [`Hub::get`].
    pub fn view(&self, channel: &str) -> Result<View<[u8]>, QueryError>
    where
        A: Accept<Vec<u8>, Bytes>,
    {
        view_of::<Vec<u8>, Bytes, A>(&self.shared, channel, None).map(View::new)
    }
}

impl<A: 'static> Hub<Pod, A> {
    /// The latest state of `channel`, in place if that can be, or as a copy: see
    /// [`view`]. A type that needs an alignment of more than 8 bytes does not compile.
    ///
    /// Cost: that of [`Reader::view`](crate::Reader), and of a slow [`Hub::get`].
    ///
    /// # Errors
    ///
    /// As [`Hub::get`].
    pub fn view<S: Plain + 'static>(&self, channel: &str) -> Result<View<S::Data>, QueryError>
    where
        A: Accept<S, Pod>,
    {
        const { view::assert_aligned::<S::Data>() }
        view_of::<S, Pod, A>(&self.shared, channel, Some(size_of::<S::Data>())).map(View::new)
    }
}

fn view_of<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
    shared: &Shared,
    channel: &str,
    expected: Option<usize>,
) -> Result<Arc<ChannelView>, QueryError> {
    let view = |round: Option<&mut Readers>| {
        let (mut reader, accepted) = shared.reader_of::<T, C, A>(channel, round)?;
        let may_show = accepted.plan().is_none();
        let copy = |reader: &mut ChannelReader, copy: &mut _| copy_latest(reader, &accepted, copy);
        let view = ChannelView::take(&mut reader, expected, may_show, copy);
        shared.keep(&reader, Some(accepted.clone()));
        Ok(view?)
    };
    shared.with_room(None, |view| view.as_ref().err(), view)
}

/// [`Hub::get`], with the instance of the channel.
#[cfg(feature = "async")]
pub(super) fn get_with_instance<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
    shared: &Shared,
    channel: &str,
) -> Result<(u64, Snapshot<T>), QueryError> {
    if let Strategy::Direct(direct) = C::strategy() {
        let mut state = direct.blank();
        let (instance, info) = receive::<T, C, A>(shared, channel, &mut direct.destination(&mut state))?;
        return Ok((instance, Snapshot::new(state, info)));
    }
    decode::<T, C, A, T>(shared, channel, C::decode)
}

/// Copies the latest payload into this thread's buffer and decodes it; returns the channel's
/// instance, too.
#[inline]
fn decode<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static, R>(
    shared: &Shared,
    channel: &str,
    decode: impl FnOnce(&[u8]) -> Result<R, CodecError>,
) -> Result<(u64, Snapshot<R>), QueryError> {
    with_scratch(|scratch| {
        let (instance, info) = receive::<T, C, A>(shared, channel, &mut &mut *scratch)?;
        Ok((instance, Snapshot::decoded(decode(scratch), C::NAME, channel, info)?))
    })
}

/// Copies the latest payload of a channel whose states have type `T`; returns the channel's
/// instance, too. Usually the channel is attached, and the first attempt succeeds.
#[inline]
fn receive<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static>(
    shared: &Shared,
    channel: &str,
    destination: &mut impl Destination,
) -> Result<(u64, SnapshotInfo), QueryError> {
    shared.follow_now_and_then();
    let guard = shared.guard();
    if let Some(attached) = shared.find(channel, &guard)
        && attached.holds(TypeId::of::<(T, C, A)>())
        && let reader = attached.reader_at(shared.counts.attachments())
        && let Ok(info) = reader.try_fast(destination)
    {
        return Ok((reader.instance(), info));
    }
    drop(guard);
    let (reader, _, info) = slow_receive::<T, C, A>(shared, channel, destination, None)?;
    Ok((reader.instance(), info))
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
        Ok(Snapshot::decoded(C::decode(scratch), C::NAME, reader.channel(), info)?)
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
