//! One picture of several workers: their states as of one moment.

use std::any::TypeId;
use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Hub, QueryError, decoded};
use crate::channel::{ChannelReader, SnapshotError, SnapshotInfo};
use crate::clock::TimestampSource;
use crate::codec::Decode;
use crate::layout::Publication;
use crate::object::{self};
use crate::seqlock::WakeMode;
use crate::snapshot::Snapshot;

/// How often all states are copied in the hope that no writer publishes meanwhile.
const COLLECTS: u32 = 4;

/// In nanoseconds, many times what a processor takes to make a store visible. While it is interrupted it holds none back.
const ANNOUNCED_WITHIN: u64 = 10_000;

/// The states of several workers as of one moment. Made by [`Hub::cut`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Cut<T> {
    /// As of when.
    pub moment: CutTime,
    /// The states, in the order in which they were asked for.
    pub states: Vec<CutState<T>>,
}

/// As of which moment a [`Cut`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutTime {
    /// An instant during the call in which all these states were the latest ones at once.
    Instant,
    /// The time given, a moment ago: the writers were too fast to be caught at an instant, and each state is the one that
    /// was in force by its date. What [`CutState::skew`] says is how well that worked.
    AsOf {
        /// In nanoseconds of the machine's monotonic clock, as
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
    /// The state, or why there is none.
    pub state: Result<Snapshot<T>, QueryError>,
    /// By how much it misses the cut's moment.
    pub skew: Skew,
}

/// By how much a state misses the moment of its [`Cut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skew {
    /// It was in force at that moment; or there was none.
    None,
    /// Its ring did not reach back so far: it was published so much after the moment.
    Later(Duration),
    /// Its writer dates publications by the kernel's tick ([`TimestampSource::Coarse`](crate::options::TimestampSource::Coarse)): it was in
    /// force at that moment or up to a tick before.
    Coarse,
    /// Its writer doesn't date publications: it is the latest one, whenever it was published.
    Undated,
}

impl<T> Cut<T> {
    /// Whether all states there are were in force at one moment.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.states.iter().all(|state| state.skew == Skew::None)
    }
}

/// A channel while it is cut.
struct Cutting {
    reader: ChannelReader,
    payload: Vec<u8>,
    received: Option<SnapshotInfo>,
    skew: Skew,
    failed: Option<SnapshotError>,
}

impl<C: 'static> Hub<C> {
    /// The states of `channels` *as of one moment*, so that what is in one of them and what is in another belong together:
    /// a total over all workers, for example, in which nothing is missing or counted twice.
    ///
    /// It copies all states and looks whether any writer has published meanwhile; if none has, they are the states of one
    /// [instant](CutTime::Instant). If that fails some times, it takes the states in force at a [time](CutTime::AsOf) just
    /// before the call by the dates of the publications in the channels' rings. A ring that does not reach back so far
    /// (see [`WriterBuilder::slots`](crate::WriterBuilder::slots)) gives its oldest publication, and [`CutState::skew`]
    /// says by how much that is off. Nothing is silently inconsistent.
    ///
    /// Both respect what writers know of each other: if a worker published b after having learned that another one had
    /// published a, a consistent cut that has b has a or a later one. By dates that takes precise ones
    /// ([`TimestampSource::Precise`]): states with others make a cut inconsistent, and say why.
    ///
    /// A worker whose state can't be had is an error in its place, and so is a channel on which nothing was published at
    /// that moment. Progress: bounded. Cost: up to eight copies of each state, and decoding each once.
    pub fn cut<T: 'static>(&self, channels: impl IntoIterator<Item = impl AsRef<str>>) -> Cut<T>
    where
        C: Decode<T>,
    {
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut missing = Vec::new();
        let mut cutting = Vec::new();
        for (handle, channel) in channels.into_iter().enumerate() {
            names.push(channel.as_ref().into());
            match self.shared.reader_of::<C, T>(channel.as_ref()) {
                Ok(reader) => cutting.push(Cutting::new(reader)),
                Err(error) => missing.push((handle, error)),
            }
        }
        let moment = cut(&mut cutting);
        let mut missing = missing.into_iter().peekable();
        let mut cutting = cutting.into_iter();
        let states = names.into_iter().enumerate().map(|(handle, channel)| {
            match missing.next_if(|(missing, _)| *missing == handle) {
                Some((_, error)) => CutState { channel, state: Err(error), skew: Skew::None },
                None => self.state_of(channel, cutting.next()),
            }
        });
        Cut { moment, states: states.collect() }
    }

    fn state_of<T: 'static>(&self, channel: Arc<str>, cut: Option<Cutting>) -> CutState<T>
    where
        C: Decode<T>,
    {
        let empty = || SnapshotError::Empty { channel: channel.to_string() };
        let Some(cut) = cut else {
            return CutState { state: Err(empty().into()), channel, skew: Skew::None };
        };
        self.shared.keep(&cut.reader, Some(TypeId::of::<(C, T)>()));
        let state = match (cut.failed, cut.received) {
            // What has its name by now may be in the cut's other states: both were never there at once.
            _ if cut.reader.is_removed() => Err(cut.reader.closed()),
            (Some(error), _) => Err(error),
            (None, None) => Err(empty()),
            (None, Some(received)) => decoded::<C, T>(&cut.reader, &cut.payload, received),
        };
        CutState { state: state.map_err(QueryError::from), channel, skew: cut.skew }
    }
}

/// Cuts, and says as of when.
fn cut(channels: &mut [Cutting]) -> CutTime {
    for _ in 0..COLLECTS {
        if double_collect(channels) {
            return CutTime::Instant;
        }
    }
    // Before the numbers are loaded: what is published with a date up to this one, and is not found, was announced after
    // its number was loaded, so whoever knew of it dated its own publication later than this.
    let time = TimestampSource::Precise.now();
    await_announcements(time, channels);
    for channel in channels {
        channel.take_as_of(time);
    }
    CutTime::AsOf { monotonic_nanos: time }
}

/// Lets become visible what was announced before anything that is dated up to `time`.
///
/// A processor reads the clock for the date of a publication while the number of the one before, on another channel of the
/// same thread, is still on its way to the memory; and it may load a number before it reads the clock that comes first in
/// the program. A barrier in all writers settles both. So does some time, for writers that take no part in barriers.
fn await_announcements(time: u64, channels: &[Cutting]) {
    let take_part = channels.iter().all(|channel| channel.reader.page().wake_mode() != WakeMode::Nobody);
    if take_part && object::issue_barrier() {
        return;
    }
    while TimestampSource::Precise.now().saturating_sub(time) < ANNOUNCED_WITHIN {
        hint::spin_loop();
    }
}

/// Whether all were copied without a writer publishing meanwhile.
fn double_collect(channels: &mut [Cutting]) -> bool {
    let collected: Vec<_> = channels.iter().map(|channel| channel.reader.collect()).collect();
    let mut all = channels.iter_mut().zip(&collected);
    all.all(|(channel, number)| channel.take(*number))
        && channels.iter().zip(&collected).all(|(channel, number)| channel.reader.is_still_at(*number))
}

impl Cutting {
    fn new(reader: ChannelReader) -> Cutting {
        Cutting { reader, payload: Vec::new(), received: None, skew: Skew::None, failed: None }
    }

    /// Takes publication `number`; `false` if it is not there any more.
    fn take(&mut self, number: Option<Publication>) -> bool {
        (self.received, self.failed, self.skew) = (None, None, Skew::None);
        let Some(publication) = number else { return true };
        match self.reader.read_publication(publication, &mut &mut self.payload) {
            Ok(received) => self.received = received,
            Err(error) => self.failed = Some(error),
        }
        self.received.is_some() || self.failed.is_some()
    }

    /// Takes the publication that was in force at `time`, or the nearest later one that the ring still holds.
    fn take_as_of(&mut self, time: u64) {
        // As often as the writer can overwrite what was just found to be the one.
        let begin = Instant::now();
        for _ in 0..COLLECTS {
            let Some(latest) = self.reader.collect() else {
                self.take(None);
                return;
            };
            let (publication, skew) = self.in_force_at(time, latest);
            if self.take(publication) {
                self.skew = skew;
                return;
            }
        }
        let channel = self.reader.channel().to_owned();
        self.failed = Some(SnapshotError::Contended { channel, attempts: COLLECTS, waited: begin.elapsed() });
    }

    /// The publication that was in force at `time`, going back from `latest`; or the oldest later one. `None` if nothing
    /// was published by then.
    fn in_force_at(&mut self, time: u64, latest: Publication) -> (Option<Publication>, Skew) {
        let mut best = (Some(latest), Skew::Undated);
        let mut next = Some(latest);
        while let Some(publication) = next {
            let Some(date) = self.reader.info_of(publication).and_then(|info| info.monotonic_nanos()) else {
                break;
            };
            if date <= time {
                let skew = match self.reader.page().timestamps() {
                    TimestampSource::Precise => Skew::None,
                    _ => Skew::Coarse,
                };
                return (Some(publication), skew);
            }
            best = (Some(publication), Skew::Later(Duration::from_nanos(date - time)));
            next = Publication::new(publication.get() - 1);
            if next.is_none() {
                return (None, Skew::None);
            }
        }
        best
    }
}
