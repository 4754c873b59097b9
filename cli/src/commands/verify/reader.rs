//! A reader process: follows all channels until they are closed, and verifies every word of every snapshot.

use std::thread::sleep;
use std::time::{Duration, Instant};

use tearless::{Namespace, SnapshotInfo, error::SnapshotError};

use super::channel::TestReader;
use super::combination::{COMBINATIONS, Combination};
use super::content::Content;
use super::tally::Tally;
use crate::child::{self, Lifetime, READY, text};

/// Snapshots in a row of one channel, while there are new publications.
const BURST: u32 = 64;

/// One in so many bursts is followed by the channel's history.
const HISTORY_EVERY: u64 = 32;

/// Rounds without a new publication, a few microseconds in all, after which a reader concludes that all writers
/// wait for a processor.
const IDLE_ROUNDS: u32 = 256;
/// Snapshots that it then takes of one channel all the same, as fast as it can.
const REPEATED: u32 = 8;
/// How long it then leaves its processor to a writer. Without the pause most snapshots would be of the same few
/// small payloads; after it the writer has published many times, and likely runs beside the reader.
const PAUSE: Duration = Duration::from_micros(20);

/// How long after the end of the writers every channel must have been found closed.
const GRACE: Duration = Duration::from_secs(20);

/// Whether a channel may have more publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

/// Number and time of a publication.
#[derive(Clone, Copy, Debug)]
struct Seen {
    publication: u64,
    nanos: u64,
}

/// What one reader process knows of one channel.
struct Watch {
    index: usize,
    reader: TestReader,
    content: Content,
    state: State,
    /// The highest number seen, of a snapshot or as the latest.
    number: u64,
    /// The last snapshot.
    last: Seen,
    bursts: u64,
    tally: Tally,
}

impl Watch {
    fn open(index: usize, namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<Watch, String> {
        let reader = COMBINATIONS[index].reader(namespace, || lifetime.is_over()).map_err(text)?;
        Ok(Watch {
            index,
            reader,
            content: Combination::content(index, seed),
            state: State::Open,
            number: 0,
            last: Seen { publication: 0, nanos: 0 },
            bursts: 0,
            tally: Tally::default(),
        })
    }

    /// Takes a snapshot of every new publication that it meets, and now and then the history. Returns how many
    /// snapshots it took.
    fn follow(&mut self) -> u32 {
        let mut taken = 0;
        while taken < BURST && self.has_news() {
            self.take_snapshot();
            taken += 1;
        }
        if taken > 0 {
            self.bursts += 1;
            if self.bursts.is_multiple_of(HISTORY_EVERY) && self.state == State::Open {
                self.take_history();
            }
        }
        taken
    }

    /// Whether the channel has a new publication, or has been closed.
    fn has_news(&self) -> bool {
        self.state == State::Open
            && (self.reader.publication() > self.last.publication || self.reader.is_closed())
    }

    /// Takes one snapshot and verifies it.
    fn take_snapshot(&mut self) {
        let latest = self.reader.publication();
        self.check_order(latest, "latest");
        match self.reader.snapshot(self.tally.snapshots) {
            Ok(info) => {
                self.tally.snapshots += 1;
                let checked = check(self.content, info, self.reader.payload());
                self.count(info, checked);
                self.check_order(info.publication(), "publication");
                self.check_time(info);
            }
            Err(SnapshotError::Contended { .. }) => self.tally.give_ups += 1,
            Err(SnapshotError::Empty { .. }) if latest == 0 => {}
            Err(SnapshotError::Closed { last, .. }) => {
                self.check_order(last, "the last before the end");
                self.state = State::Closed;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Counts a payload that was compared with what was published.
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

    /// The time belongs to the number: the same number has the same time, a later one no earlier time.
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
            // The checksum noticed it before the comparison could.
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
        for past in self.reader.history() {
            match past {
                Ok((info, payload)) => {
                    self.tally.history += 1;
                    self.count(info, check(self.content, info, &payload));
                    if info.publication() >= later {
                        self.tally.backwards += 1;
                        self.note(&format!("history: {} follows {later}", info.publication()));
                    }
                    later = info.publication();
                }
                // The writer was faster, or has closed the channel: the next snapshot sees that.
                Err(SnapshotError::Contended { .. } | SnapshotError::Closed { .. }) => {}
                Err(SnapshotError::Empty { .. }) if self.number == 0 => {}
                Err(error) => self.fail(&error),
            }
        }
    }

    /// A channel must not be open after its writers have ended.
    fn check_closed(&mut self) {
        if self.state == State::Open {
            self.tally.failures += 1;
            self.note(&format!("not found closed within {GRACE:?} of the writers' end"));
        }
    }

    #[cold]
    fn note(&mut self, text: &str) {
        self.tally.note(format!("channel {:?}: {text}", COMBINATIONS[self.index].channel));
    }

    fn tally(self) -> Tally {
        let statistics = self.reader.statistics();
        Tally { retries: statistics.retries, remaps: statistics.remaps, ..self.tally }
    }
}

/// Compares a payload, and the length that its snapshot reports, with what was published.
fn check(content: Content, info: SnapshotInfo, payload: &[u8]) -> Result<(), String> {
    match info.payload_len() == payload.len() {
        true => content.check(info.publication(), payload),
        false => Err(format!("a length of {} is reported for {} bytes", info.payload_len(), payload.len())),
    }
}

/// Visits all channels until one has something new. If none has, repeats snapshots of one and pauses.
fn visit(watches: &mut [Watch]) {
    for _ in 0..IDLE_ROUNDS {
        if watches.iter_mut().map(Watch::follow).sum::<u32>() > 0 {
            return;
        }
    }
    if let Some(watch) = watches.iter_mut().find(|watch| watch.state == State::Open) {
        (0..REPEATED).for_each(|_| watch.take_snapshot());
        sleep(PAUSE);
    }
}

/// Follows all channels until the parent says that their writers have ended, and each is closed. Returns the
/// counts of each combination.
///
/// # Errors
///
/// What went wrong before it could begin, in words.
pub(super) fn run(
    index: usize,
    namespace: &Namespace,
    seed: u64,
    lifetime: &Lifetime,
) -> Result<Vec<Tally>, String> {
    let channels = COMBINATIONS.len();
    // Each reader process begins with another channel.
    let watches = (0..channels).map(|step| Watch::open((index + step) % channels, namespace, seed, lifetime));
    let mut watches = watches.collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        visit(&mut watches);
    }
    let deadline = Instant::now() + GRACE;
    let is_open = |watch: &Watch| watch.state == State::Open;
    while watches.iter().any(is_open) && Instant::now() < deadline && !lifetime.is_orphaned() {
        visit(&mut watches);
    }
    // After the parent's death a killed writer may have no successor that closes its channels.
    if !lifetime.is_orphaned() {
        watches.iter_mut().for_each(Watch::check_closed);
    }
    watches.sort_by_key(|watch| watch.index);
    Ok(watches.into_iter().map(Watch::tally).collect())
}
