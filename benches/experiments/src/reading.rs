//! A reader that takes snapshots as fast as it can while a worker publishes, and checks every one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tearless::{Namespace, Pod, Reader, error::SnapshotError};
use testkit::stats::Histogram;

use crate::Failure;
use crate::common::{boxed, histogram, nanos};
use crate::payload::{Job, is_whole, with_words};

/// The results.
pub(crate) struct Reading {
    /// Times of single snapshots in nanoseconds, which contain the clock's cost.
    pub(crate) times: Histogram<u64>,
    pub(crate) elapsed: Duration,
    /// Publications during the snapshots.
    pub(crate) publications: u64,
    /// Attempts that failed.
    pub(crate) retries: u64,
    /// Snapshots that ended in [`SnapshotError::Contended`].
    pub(crate) gave_up: u64,
}

impl Reading {
    /// Nanoseconds that a fraction of the snapshots did not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64
    }

    /// Failed attempts for each snapshot.
    pub(crate) fn retries_a_read(&self) -> f64 {
        self.retries as f64 / self.times.len() as f64
    }

    /// The rate that the writer reached.
    pub(crate) fn publications_a_second(&self) -> f64 {
        self.publications as f64 / self.elapsed.as_secs_f64()
    }
}

/// Reads the plain state of `words` words in `channel`, `rounds` times for `span`, after a warm-up.
pub(crate) fn read(
    namespace: &Namespace,
    channel: &str,
    words: usize,
    span: Duration,
    rounds: usize,
) -> Result<Vec<Reading>, Failure> {
    with_words(words, Rounds { namespace, channel, span, rounds })
}

/// The channel, and how long to read it.
struct Rounds<'a> {
    namespace: &'a Namespace,
    channel: &'a str,
    span: Duration,
    rounds: usize,
}

impl Job for Rounds<'_> {
    type Output = Result<Vec<Reading>, Failure>;

    fn run<const WORDS: usize>(self) -> Self::Output {
        let builder = self.namespace.reader_builder::<[u64; WORDS]>(self.channel).codec::<Pod>();
        let mut reader = builder.open()?;
        let mut state = boxed::<WORDS>(|_| 0);
        // Not counted: the first snapshots map the segments and fault the pages in.
        read_for(&mut reader, &mut state, self.span / 10)?;
        (0..self.rounds).map(|_| read_for(&mut reader, &mut state, self.span)).collect()
    }
}

/// One round.
fn read_for<const WORDS: usize>(
    reader: &mut Reader<[u64; WORDS], Pod>,
    state: &mut [u64; WORDS],
    span: Duration,
) -> Result<Reading, Failure> {
    let (elapsed, first) = (Duration::ZERO, reader.publication());
    let mut reading = Reading { times: histogram(), elapsed, publications: 0, retries: 0, gave_up: 0 };
    let mut latest = 0;
    let begin = Instant::now();
    while reading.elapsed < span {
        let before = Instant::now();
        let result = reader.snapshot_into(black_box(state));
        let after = Instant::now();
        reading.times.saturating_record(nanos(after - before));
        match result {
            Ok(info) => {
                check(state, info.publication(), latest)?;
                latest = info.publication();
                reading.retries += u64::from(info.retries());
            }
            Err(SnapshotError::Contended { attempts, .. }) => {
                reading.gave_up += 1;
                reading.retries += u64::from(attempts);
            }
            Err(error) => return Err(error.into()),
        }
        reading.elapsed = after - begin;
    }
    reading.publications = reader.publication() - first;
    Ok(reading)
}

/// Asserts that a snapshot is one publication, and not older than the one before.
fn check(state: &[u64], number: u64, latest: u64) -> Result<(), Failure> {
    match is_whole(state, number) && number >= latest {
        true => Ok(()),
        false => Err(format!("the snapshot of publication {number} after {latest} is torn or stale").into()),
    }
}
