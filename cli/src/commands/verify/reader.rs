//! A reader process: takes snapshots of all channels and verifies every word of every one.

use std::thread::sleep;
use std::time::Duration;

use tearless::{Bytes, Namespace, Reader, SnapshotInfo, error::SnapshotError};

use super::content::Content;
use super::run::{RUNS, Run};
use super::tally::Tally;
use crate::child::{self, Lifetime, READY, text};

/// Snapshots in a row of one channel, while there are new publications.
const BURST: u32 = 64;

/// One in so many rounds takes the history of a channel, too.
const HISTORY_EVERY: u64 = 32;

/// How long a reader leaves its processor to the writers when it has found nothing new.
const PAUSE: Duration = Duration::from_micros(20);

/// What one reader process knows of one channel.
struct Watch {
    run: usize,
    reader: Reader<Vec<u8>, Bytes>,
    content: Content,
    payload: Vec<u8>,
    /// The highest number seen.
    last: u64,
    rounds: u64,
    is_closed: bool,
    tally: Tally,
}

impl Watch {
    fn open(run: usize, namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<Watch, String> {
        let reader = RUNS[run].reader(namespace, || lifetime.is_over()).map_err(text)?;
        let content = Run::content(run, seed);
        let (payload, tally) = (Vec::new(), Tally::default());
        Ok(Watch { run, reader, content, payload, last: 0, rounds: 0, is_closed: false, tally })
    }

    /// Follows the writer for a moment. Whether it found anything new.
    fn follow(&mut self) -> bool {
        let begin = self.last;
        let mut taken = 0;
        while taken < BURST && !self.is_closed && (self.reader.publication() > self.last || taken == 0) {
            self.look();
            taken += 1;
        }
        self.rounds += 1;
        if self.rounds.is_multiple_of(HISTORY_EVERY) && !self.is_closed {
            self.look_back();
        }
        self.last > begin
    }

    /// Takes one snapshot and verifies it.
    fn look(&mut self) {
        match self.reader.snapshot_into(&mut self.payload) {
            Ok(info) => {
                self.tally.snapshots += 1;
                self.verify(info);
                self.in_order(info.publication());
            }
            Err(error) => self.failed(&error),
        }
    }

    fn verify(&mut self, info: SnapshotInfo) {
        self.tally.bytes += self.payload.len() as u64;
        let checked = match info.payload_len() == self.payload.len() {
            true => self.content.check(info.publication(), &self.payload),
            false => Err(format!("{} bytes are told of {}", info.payload_len(), self.payload.len())),
        };
        if let Err(reason) = checked {
            self.tally.torn += 1;
            self.note(&reason);
        }
    }

    fn in_order(&mut self, number: u64) {
        if number < self.last {
            self.tally.backwards += 1;
            self.note(&format!("publication {number} after {}", self.last));
        }
        self.last = self.last.max(number);
    }

    fn failed(&mut self, error: &SnapshotError) {
        match error {
            SnapshotError::Contended { .. } => {}
            SnapshotError::Empty { .. } if self.last == 0 => {}
            SnapshotError::Closed { .. } => self.is_closed = true,
            // The checksum noticed it before we could.
            SnapshotError::Corrupt { .. } => {
                self.tally.torn += 1;
                self.note(&error.to_string());
            }
            _ => {
                self.tally.failures += 1;
                self.note(&error.to_string());
            }
        }
    }

    /// Takes and verifies what the rings still hold.
    fn look_back(&mut self) {
        let mut number = u64::MAX;
        let entries: Vec<_> = self.reader.history().collect();
        for entry in entries {
            match entry {
                Ok(snapshot) => {
                    self.tally.history += 1;
                    let info = snapshot.info();
                    self.payload = snapshot.into_inner();
                    self.verify(info);
                    if info.publication() >= number {
                        self.tally.backwards += 1;
                        self.note(&format!("history: {} follows {number}", info.publication()));
                    }
                    number = info.publication();
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    #[cold]
    fn note(&mut self, text: &str) {
        self.tally.note(format!("channel {:?}: {text}", RUNS[self.run].channel));
    }

    fn counts(self) -> Tally {
        let statistics = self.reader.statistics();
        Tally {
            retries: statistics.retries,
            give_ups: statistics.give_ups,
            remaps: statistics.remaps,
            ..self.tally
        }
    }
}

/// Goes round all channels until it is told to end, and tells what it has counted.
///
/// # Errors
///
/// What went wrong before it could begin, in words.
pub(super) fn run(namespace: &Namespace, seed: u64, lifetime: &Lifetime) -> Result<Tally, String> {
    let watches = (0..RUNS.len()).map(|run| Watch::open(run, namespace, seed, lifetime));
    let mut watches = watches.collect::<Result<Vec<_>, String>>()?;
    child::say(READY);
    while !lifetime.is_over() {
        let found = watches.iter_mut().filter_map(|watch| watch.follow().then_some(())).count();
        if found == 0 {
            sleep(PAUSE);
        }
    }
    let mut sum = Tally::default();
    watches.into_iter().for_each(|watch| sum += watch.counts());
    Ok(sum)
}
