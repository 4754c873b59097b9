//! A reader process: follows all channels until they are closed, and verifies every word of every
//! snapshot.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tearless::{Bytes, Decode, Namespace, Pod, Reader, SnapshotInfo, error::SnapshotError, view::View};

use super::combination::{COMBINATIONS, Combination, Plain};
use super::content::{Content, Sizes, scramble};
use super::tally::Tally;
use crate::child::{self, Lifetime, READY, text};

/// Snapshots of one channel in a row, while there are new publications.
const BURST: u32 = 64;

/// The reader takes the channel's history after one in this many bursts.
const HISTORY_EVERY: u64 = 32;

/// Views of one channel that a reader holds at a time, and the longest time for which it holds one,
/// in milliseconds.
const MAX_VIEWS: usize = 2;
const MAX_VIEW_MILLIS: u64 = 1_000;

/// Rounds without a new publication, a few microseconds in all, after which a reader concludes that
/// all writers wait for a processor.
const IDLE_ROUNDS: u32 = 256;
/// Snapshots of one channel that the reader then takes anyway, as fast as it can.
const REPEATED: u32 = 8;
/// The pause after that, which leaves the processor to a writer. Without it, most snapshots would
/// be of the same few small payloads. After it, the writer has published many times, and likely
/// runs beside the reader.
const PAUSE: Duration = Duration::from_micros(20);

/// The time after the end of the writers within which every channel must be found closed.
const GRACE: Duration = Duration::from_secs(20);

/// Number and time of a publication.
#[derive(Clone, Copy, Debug)]
struct Seen {
    publication: u64,
    nanos: u64,
}

/// The namespace of a run, its seed, and how long this process works.
pub(super) type Run<'a> = (&'a Namespace, u64, &'a Lifetime);

/// One channel of this process, whatever the type of its states.
trait Follow {
    /// Takes a snapshot of every new publication that it finds, and sometimes the history. Returns
    /// the number of snapshots.
    fn follow(&mut self) -> u32;

    /// Takes one snapshot and verifies it.
    fn take_snapshot(&mut self);

    /// Whether the channel may have more publications.
    fn is_open(&self) -> bool;

    /// The counts. If `must_be_closed`, a channel that is open is a failure.
    fn tally(self: Box<Self>, must_be_closed: bool) -> Tally;
}

/// Views the latest state of a channel with pins.
type Look<T, C> = fn(&mut Reader<T, C>) -> Result<View, SnapshotError>;

struct Watch<T, C> {
    channel: &'static str,
    reader: Reader<T, C>,
    /// The last snapshot.
    state: T,
    /// The payload of a state.
    payload: fn(&T) -> &[u8],
    look: Option<Look<T, C>>,
    /// What it views, and until when.
    views: Vec<(View, Instant)>,
    content: Content,
    is_open: bool,
    /// The highest number seen, in a snapshot or as the latest.
    number: u64,
    /// The last snapshot's publication.
    last: Seen,
    bursts: u64,
    tally: Tally,
}

impl<T: 'static, C: Decode<T> + 'static> Watch<T, C> {
    fn open(
        index: usize,
        (namespace, seed, lifetime): Run<'_>,
        state: T,
        payload: fn(&T) -> &[u8],
        look: Option<Look<T, C>>,
    ) -> Result<Box<dyn Follow>, String> {
        let combination = &COMBINATIONS[index];
        Ok(Box::new(Watch {
            channel: combination.channel,
            reader: combination.reader::<T, C>(namespace, || lifetime.is_over()).map_err(text)?,
            state,
            payload,
            look: look.filter(|_| combination.pins > 0),
            views: Vec::new(),
            content: Combination::content(index, seed),
            is_open: true,
            number: 0,
            last: Seen { publication: 0, nanos: 0 },
            bursts: 0,
            tally: Tally::default(),
        }))
    }
}

impl<T, C: Decode<T>> Follow for Watch<T, C> {
    fn follow(&mut self) -> u32 {
        let mut taken = 0;
        while taken < BURST && self.has_news() {
            self.take_snapshot();
            taken += 1;
        }
        if taken > 0 {
            self.bursts += 1;
            if self.bursts.is_multiple_of(HISTORY_EVERY) && self.is_open {
                self.take_history();
            }
            self.hold_views();
        }
        taken
    }

    fn take_snapshot(&mut self) {
        let latest = self.reader.publication();
        self.check_order(latest, "latest");
        match self.snapshot() {
            Ok(info) => {
                self.tally.snapshots += 1;
                let checked = check(self.content, info, (self.payload)(&self.state));
                self.count(info, checked);
                self.check_order(info.publication(), "publication");
                self.check_time(info);
            }
            Err(SnapshotError::Contended { .. }) => self.tally.give_ups += 1,
            Err(SnapshotError::Empty { .. }) if latest == 0 => {}
            Err(SnapshotError::Closed { last, .. }) => {
                self.check_order(last, "the last before the end");
                self.is_open = false;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn tally(mut self: Box<Self>, must_be_closed: bool) -> Tally {
        if must_be_closed && self.is_open {
            self.tally.failures += 1;
            self.note(&format!("not found closed within {GRACE:?} of the writers' end"));
        }
        self.end_views(None);
        let statistics = self.reader.statistics();
        Tally { retries: statistics.retries, remaps: statistics.remaps, ..self.tally }
    }
}

impl<T, C: Decode<T>> Watch<T, C> {
    /// Whether the channel has a new publication, or has been closed.
    fn has_news(&self) -> bool {
        self.is_open && (self.reader.publication() > self.last.publication || self.reader.is_closed())
    }

    /// Replaces the state: in turn by copying into it, and by a new value.
    fn snapshot(&mut self) -> Result<SnapshotInfo, SnapshotError> {
        if self.tally.snapshots.is_multiple_of(2) {
            return self.reader.snapshot_into(&mut self.state);
        }
        let snapshot = self.reader.snapshot()?;
        let info = snapshot.info();
        self.state = snapshot.into_inner();
        Ok(info)
    }

    /// Counts a payload that was compared with the published one.
    fn count(&mut self, info: SnapshotInfo, checked: Result<(), String>) {
        self.tally.bytes += info.payload_len() as u64;
        if let Err(reason) = checked {
            self.tally.torn += 1;
            self.note(&reason);
        }
    }

    /// Numbers never go backwards, whichever call returns them.
    fn check_order(&mut self, number: u64, what: &str) {
        if number < self.number {
            self.tally.backwards += 1;
            self.note(&format!("{what}: {number} after {}", self.number));
        }
        self.number = self.number.max(number);
    }

    /// The time belongs to the number: the same number has the same time, and a later number no
    /// earlier time.
    fn check_time(&mut self, info: SnapshotInfo) {
        let seen = Seen { publication: info.publication(), nanos: info.monotonic_nanos().unwrap_or(0) };
        let before = std::mem::replace(&mut self.last, seen);
        let holds = match seen.publication == before.publication {
            true => seen.nanos == before.nanos,
            false => seen.nanos >= before.nanos,
        };
        if !holds || seen.nanos == 0 {
            self.tally.backwards += 1;
            self.note(&format!("{seen:?} after {before:?}"));
        }
        if seen.publication > before.publication {
            self.tally.fresh += 1;
        }
    }

    fn fail(&mut self, error: &SnapshotError) {
        match error {
            // The checksum detected it before the comparison.
            SnapshotError::Corrupt { .. } => {
                self.tally.snapshots += 1;
                self.tally.torn += 1;
            }
            _ => self.tally.failures += 1,
        }
        self.note(&error.to_string());
    }

    /// Takes and verifies every publication that the rings still hold.
    fn take_history(&mut self) {
        let mut later = u64::MAX;
        for past in self.reader.history().collect::<Vec<_>>() {
            match past {
                Ok(past) => {
                    self.tally.history += 1;
                    let info = past.info();
                    self.count(info, check(self.content, info, (self.payload)(&past)));
                    if info.publication() >= later {
                        self.tally.backwards += 1;
                        self.note(&format!("history: {} follows {later}", info.publication()));
                    }
                    later = info.publication();
                }
                // The writer was faster, or has closed the channel. The next snapshot detects that.
                Err(SnapshotError::Contended { .. } | SnapshotError::Closed { .. }) => {}
                Err(SnapshotError::Empty { .. }) if self.number == 0 => {}
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Ends the views whose time is over, and takes another one, for a time of its own.
    fn hold_views(&mut self) {
        let Some(look) = self.look else { return };
        let now = Instant::now();
        self.end_views(Some(now));
        if !self.is_open || self.views.len() == MAX_VIEWS {
            return;
        }
        match look(&mut self.reader) {
            Ok(view) => {
                self.tally.views += 1;
                self.tally.views_in_place += u64::from(view.is_in_place());
                self.check_view(&view);
                self.check_order(view.publication(), "a view");
                let random = scramble(self.tally.views, view.publication());
                // Each octave is about equally likely: many views are short, some are long.
                let millis = (random >> 8) % (MAX_VIEW_MILLIS >> (random % 8));
                self.views.push((view, now + Duration::from_millis(millis)));
            }
            // As for a history.
            Err(SnapshotError::Contended { .. } | SnapshotError::Closed { .. }) => {}
            Err(SnapshotError::Empty { .. }) if self.number == 0 => {}
            Err(error) => self.fail(&error),
        }
    }

    /// Verifies the views whose time is over, or all of them, and drops them.
    fn end_views(&mut self, now: Option<Instant>) {
        let views = std::mem::take(&mut self.views).into_iter();
        let (ended, held) = views.partition(|(_, end)| now.is_none_or(|now| *end <= now));
        self.views = held;
        let ended: Vec<(View, Instant)> = ended;
        ended.iter().for_each(|(view, _)| self.check_view(view));
    }

    fn check_view(&mut self, view: &View) {
        self.count(view.info(), check(self.content, view.info(), view));
    }

    #[cold]
    fn note(&mut self, text: &str) {
        self.tally.note(format!("channel {:?}: {text}", self.channel));
    }
}

/// Compares a payload, and the length that its snapshot reports, with the published payload.
fn check(content: Content, info: SnapshotInfo, payload: &[u8]) -> Result<(), String> {
    match info.payload_len() == payload.len() {
        true => content.check(info.publication(), payload),
        false => Err(format!("a length of {} is reported for {} bytes", info.payload_len(), payload.len())),
    }
}

/// Visits all channels until one has a new publication. If none has, repeats snapshots of one and
/// pauses.
fn visit(watches: &mut [Box<dyn Follow>]) {
    for _ in 0..IDLE_ROUNDS {
        if watches.iter_mut().map(|watch| watch.follow()).sum::<u32>() > 0 {
            return;
        }
    }
    if let Some(watch) = watches.iter_mut().find(|watch| watch.is_open()) {
        (0..REPEATED).for_each(|_| watch.take_snapshot());
        sleep(PAUSE);
    }
}

/// Follows all channels until the parent reports the end of their writers and each channel is
/// closed. Returns the counts of each combination.
///
/// # Errors
///
/// A message: the reader could not begin.
pub(super) fn run(first: usize, run: Run<'_>) -> Result<Vec<Tally>, String> {
    let (_, _, lifetime) = run;
    let open = |index: usize| match COMBINATIONS[index].sizes {
        Sizes::Plain => {
            Watch::<Plain, Pod>::open(index, run, bytemuck::Zeroable::zeroed(), bytemuck::bytes_of, None)
        }
        Sizes::Tiny | Sizes::Mixed => {
            let look: Look<_, _> = Reader::<Vec<u8>, Bytes>::view;
            Watch::<Vec<u8>, Bytes>::open(index, run, Vec::new(), Vec::as_slice, Some(look))
        }
    };
    // Each reader process begins with another channel.
    let channels = COMBINATIONS.len();
    let watches = (0..channels).map(|step| open((first + step) % channels));
    let mut watches = watches.collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        visit(&mut watches);
    }
    let deadline = Instant::now() + GRACE;
    while watches.iter().any(|watch| watch.is_open()) && Instant::now() < deadline && !lifetime.is_orphaned()
    {
        visit(&mut watches);
    }
    watches.rotate_right(first % channels);
    // After the parent's death, a killed writer may have no successor that closes its channels.
    let must_be_closed = !lifetime.is_orphaned();
    Ok(watches.into_iter().map(|watch| watch.tally(must_be_closed)).collect())
}
