//! Cuts: the states of several workers as of one moment.

use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::Backoff as Spins;

use super::attached::{Accepted, Readers, Shared};
use super::report::QueryError;
use crate::channel::{ChannelReader, RetryPolicy, SnapshotError, SnapshotInfo};
use crate::clock;
use crate::codec::Decode;
use crate::layout::Publication;
use crate::object;
use crate::reader::state_of;
use crate::seqlock::WakeMode;
use crate::snapshot::Snapshot;

/// How often a cut copies all states in the hope that no writer publishes in between, and how often
/// it then looks for the publication of the moment in a ring before it is content with the latest
/// one.
const COLLECTS: u32 = 4;

/// In nanoseconds: many times what a processor takes to make a store visible. An interrupted
/// processor has made its stores visible.
const ANNOUNCED_WITHIN: u64 = 10_000;

/// The published states of several workers as of one moment. Made by [`Hub::cut`](super::Hub::cut).
#[derive(Debug)]
#[non_exhaustive]
pub struct Cut<T> {
    /// The moment.
    pub moment: CutTime,
    /// The states, in the order of the caller's channels.
    pub states: Vec<CutState<T>>,
}

/// The moment of a [`Cut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutTime {
    /// An instant during the call, at which all these states were the latest ones.
    Instant,
    /// A time during the call: the writers were too fast for an instant, and each state is the one
    /// that was current at that time by its timestamp. [`CutState::skew`] has the difference.
    AsOf {
        /// In nanoseconds since the machine's boot, as
        /// [`SnapshotInfo::monotonic_nanos`](crate::SnapshotInfo::monotonic_nanos).
        monotonic_nanos: u64,
    },
}

/// The state of one worker in a [`Cut`].
#[derive(Debug)]
#[non_exhaustive]
pub struct CutState<T> {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The state, or the reason why there is none.
    pub state: Result<Snapshot<T>, QueryError>,
    /// The difference between the cut's moment and this state.
    pub skew: Skew,
}

/// The difference between the moment of a [`Cut`] and one of its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skew {
    /// None: the state was current at that moment, or there was no state.
    None,
    /// The state was published this long after the moment: the ring did not reach back far enough,
    /// or the writer overwrote its older slots faster than the cut could copy them.
    Later(Duration),
    /// Its timestamp is that of the kernel's tick
    /// ([`TimestampSource::Coarse`](crate::clock::TimestampSource::Coarse)), also if only a former
    /// writer had that clock: the state was current at the moment or up to a tick before it.
    Coarse,
    /// Its writer gives publications no timestamps: it is the latest state, whenever it was
    /// published.
    NoTimestamps,
    /// The published state was current, but a [`Syncer`](crate::syncer::Syncer) published it: the
    /// worker may have been further, and other workers may have observed that.
    /// [`flushes_before_effects`](crate::syncer::SyncerBuilder::flushes_before_effects) promises
    /// that they have not.
    Deferred,
}

impl<T> Cut<T> {
    /// Whether all states in the cut were the states of their workers at one moment: no state has a
    /// [`Skew`]. States that are missing count for nothing: see [`Cut::is_complete`].
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.states.iter().all(|state| state.skew == Skew::None)
    }

    /// Whether every channel of the cut has a state. A total over all workers needs this, too.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.states.iter().all(|state| state.state.is_ok())
    }
}

/// A channel of a cut, and the publication that was copied for it.
pub(super) struct Cutting<'a> {
    shared: &'a Shared,
    reader: ChannelReader,
    accepted: Accepted,
    payload: Vec<u8>,
    /// `None` before the first publication.
    copied: Result<Option<SnapshotInfo>, QueryError>,
    pub(super) skew: Skew,
}

/// Copies a publication of each channel, and returns the moment of which they are.
pub(super) fn cut(channels: &mut [&mut Cutting<'_>], retry: RetryPolicy) -> CutTime {
    let moment = copy(channels, retry);
    channels.iter_mut().for_each(|channel| channel.find_deferral());
    moment
}

fn copy(channels: &mut [&mut Cutting<'_>], retry: RetryPolicy) -> CutTime {
    for _ in 0..COLLECTS {
        if double_collect(channels) {
            return CutTime::Instant;
        }
    }
    // Read before the numbers are loaded. If a publication with a timestamp up to this time is not
    // found, it was announced after its number was loaded. A writer that knew of it therefore gave
    // its own publication a later timestamp than this.
    let time = clock::now();
    await_announcements(time, channels);
    for channel in channels {
        channel.take_as_of(time, retry);
    }
    CutTime::AsOf { monotonic_nanos: time }
}

/// Waits until every announcement that precedes a timestamp up to `time` is visible.
///
/// A writer's processor can read the clock for a publication while its announcement of an earlier
/// one, on another channel of the same thread, is still on the way to memory. It can also load a
/// number before it reads the clock, although the clock comes first in the program. A barrier in
/// all writers settles both. Some time does the same for writers that take no part in barriers.
fn await_announcements(time: u64, channels: &[&mut Cutting<'_>]) {
    let take_part = channels.iter().all(|channel| channel.reader.page().wake_mode() != WakeMode::Never);
    if take_part && object::issue_barrier() {
        return;
    }
    while clock::now().saturating_sub(time) < ANNOUNCED_WITHIN {
        hint::spin_loop();
    }
}

/// Copies all states. Returns whether no writer has published in between.
fn double_collect(channels: &mut [&mut Cutting<'_>]) -> bool {
    let collected: Vec<_> = channels.iter().map(|channel| channel.reader.collect()).collect();
    let mut all = channels.iter_mut().zip(&collected);
    all.all(|(channel, number)| channel.take(*number))
        && channels.iter().zip(&collected).all(|(channel, number)| channel.reader.is_still_at(*number))
}

impl Cutting<'_> {
    pub(super) fn new(shared: &Shared, reader: ChannelReader, accepted: Accepted) -> Cutting<'_> {
        Cutting { shared, reader, accepted, payload: Vec::new(), copied: Ok(None), skew: Skew::None }
    }

    /// The state for the publication that was copied, or why there is none.
    pub(super) fn state<T, C: Decode<T>>(self) -> Result<Snapshot<T>, QueryError> {
        let Cutting { shared, reader, accepted, payload, copied, .. } = self;
        shared.keep(&reader, Some(accepted.clone()));
        if reader.is_removed() {
            // The cut may have the state of a new channel of that name: the two never existed
            // together.
            return Err(reader.closed().into());
        }
        let channel = reader.channel();
        match copied? {
            None => Err(SnapshotError::Empty { channel: channel.into() }.into()),
            Some(info) => Ok(state_of::<T, C>(&payload, accepted.plan(), channel, info)?),
        }
    }

    /// Notes that the copied publication may lag behind its worker's state.
    fn find_deferral(&mut self) {
        let deferred = self.reader.page().deferred();
        let is_deferred = matches!(&self.copied, Ok(Some(info)) if info.publication() <= deferred);
        if self.skew == Skew::None && is_deferred {
            self.skew = Skew::Deferred;
        }
    }

    /// Copies publication `number`; `false` if it is overwritten.
    fn take(&mut self, number: Option<Publication>) -> bool {
        (self.copied, self.skew) = (Ok(None), Skew::None);
        let Some(publication) = number else { return true };
        let read = |_: Option<&mut Readers>| {
            self.reader.read_publication(publication, &mut &mut self.payload).map_err(QueryError::from)
        };
        self.copied = self.shared.with_room(None, |read| read.as_ref().err(), read);
        !matches!(self.copied, Ok(None))
    }

    /// Copies the publication that was current at `time`, or else a later one. The writer can
    /// overwrite each choice before it is copied: the retry policy bounds the attempts.
    fn take_as_of(&mut self, time: u64, retry: RetryPolicy) {
        let (begin, mut attempts) = (Instant::now(), 0);
        let mut last_attempt = None;
        let spins = Spins::new();
        loop {
            let latest = self.reader.collect();
            // The oldest slot of a ring is the next to be overwritten. After some failures the cut
            // takes the one that stays longest, the latest, and reports the difference.
            let (publication, skew) = match latest {
                None => (None, Skew::None),
                Some(latest) if attempts < COLLECTS => self.current_at(time, latest),
                Some(latest) => (Some(latest), self.skew_of(latest, time).unwrap_or(Skew::NoTimestamps)),
            };
            if self.take(publication) {
                self.skew = skew;
                return;
            }
            attempts += 1;
            if attempts < retry.attempts {
                spins.spin();
            } else if last_attempt.get_or_insert_with(Instant::now).elapsed() < retry.deadline {
                spins.snooze();
            } else {
                break;
            }
        }
        let channel = self.reader.channel().to_owned();
        self.copied = Err(SnapshotError::Contended { channel, attempts, waited: begin.elapsed() }.into());
    }

    /// The publication that was current at `time`, searched backwards from `latest`, or the oldest
    /// later one. `None` if there was no publication at that time.
    fn current_at(&mut self, time: u64, latest: Publication) -> (Option<Publication>, Skew) {
        let mut best = (Some(latest), Skew::NoTimestamps);
        let mut next = Some(latest);
        while let Some(publication) = next {
            let Some(skew) = self.skew_of(publication, time) else { break };
            best = (Some(publication), skew);
            if !matches!(skew, Skew::Later(_)) {
                return best;
            }
            next = Publication::new(publication.get() - 1);
            if next.is_none() {
                return (None, Skew::None);
            }
        }
        best
    }

    /// The skew of a publication; `None` if it is overwritten or has no timestamp.
    fn skew_of(&mut self, publication: Publication, time: u64) -> Option<Skew> {
        let timestamp = self.reader.info_of(publication)?.timestamp();
        if timestamp == 0 {
            return None;
        }
        // That of a restored state may be negative: it is from before the boot.
        let later = timestamp.cast_signed().saturating_sub(time.cast_signed());
        if later > 0 {
            return Some(Skew::Later(Duration::from_nanos(later.cast_unsigned())));
        }
        Some(if self.reader.page().is_precise(publication) { Skew::None } else { Skew::Coarse })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::SameType;
    use crate::clock::TimestampSource;
    use crate::{Namespace, Pod};

    #[test]
    fn a_state_is_judged_by_the_clock_of_the_writer_that_published_it() {
        use TimestampSource::{Coarse, None, Precise};
        let namespace = Namespace::in_process("clocks").unwrap();
        let hub = namespace.hub();
        let builder = namespace.writer_builder::<u64>("worker").codec::<Pod>().slots(16);
        let mut skews = Vec::new();
        for (number, source) in (1..).zip([Precise, None, Coarse, None, Precise, Precise]) {
            let mut writer = builder.clone().timestamps(source).open().unwrap();
            if number < 6 {
                assert_eq!(writer.publish(&number).unwrap(), number, "it is resumed");
            }
            writer.close_lingering().unwrap();
            let (reader, accepted) =
                hub.shared.reader_of::<u64, Pod, SameType>("worker", Option::None).unwrap();
            let mut cutting = Cutting::new(&hub.shared, reader, accepted);
            let mut skew = |number| cutting.skew_of(Publication::new(number)?, clock::now());
            skews.push([1, 3, 4, 5].map(&mut skew));
        }
        let (none, coarse) = (Some(Skew::None), Some(Skew::Coarse));
        // Each row is what a cut finds after one more writer.
        let expected = [
            [none, Option::None, Option::None, Option::None],
            // A writer without timestamps changes nothing.
            [none, Option::None, Option::None, Option::None],
            // The clock of a writer before a coarse one is forgotten.
            [coarse, coarse, Option::None, Option::None],
            [coarse, coarse, Option::None, Option::None],
            [coarse, coarse, Option::None, none],
            [coarse, coarse, Option::None, none],
        ];
        assert_eq!(skews, expected);
    }
}
