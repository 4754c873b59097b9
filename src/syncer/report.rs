//! What a syncer reports: its statistics and its errors.

use std::io;
use std::time::Duration;

use crate::channel::{CreateError, PublishError, RemoveError, SnapshotError};

/// What a [`Syncer`](super::Syncer) has done since it was spawned, or between two calls
/// ([`SyncerStatistics::diff`]).
///
/// Every attempt to publish (by a tick, by a flush, the first and the last one) counts once in
/// `published`, `skipped`, `untouched` or `failed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncerStatistics {
    /// Ticks.
    pub ticks: u64,
    /// States that were published.
    pub published: u64,
    /// States that were encoded and not published: their bytes equal the last publication.
    pub skipped: u64,
    /// Attempts that found the state unchanged and encoded nothing.
    pub untouched: u64,
    /// Ticks that were left out because the previous tick took too long or the system scheduled the
    /// thread too late.
    pub overruns: u64,
    /// Attempts that ended in an error. A panic of the codec is an error.
    pub failed: u64,
    /// Total time for which encoding held the state's lock.
    pub encode_time: Duration,
    /// The longest of these times.
    pub max_encode_time: Duration,
    /// Payload bytes that were published.
    pub bytes: u64,
}

counters! {
    /// The difference to `earlier` statistics of the same syncer. The longest encoding is that of
    /// the syncer's whole life.
    SyncerStatistics: ticks, published, skipped, untouched, overruns, failed, encode_time, bytes;
    max_encode_time
    => "{ticks} ticks, {overruns} overruns; {published} published ({bytes} bytes), {skipped} skipped, \
        {untouched} untouched, {failed} failed; encoding took {encode_time:.1?}, at most \
        {max_encode_time:.1?}"
}

/// Why a syncer could not be started.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The interval is too short. It is not raised silently, because readers rely on it, too.
    #[error(
        "an interval of {asked:?} is too short for the syncer of channel {channel:?}: ask for at least \
         {min:?}, or publish each change with a `Writer`"
    )]
    IntervalTooShort {
        /// The channel.
        channel: String,
        /// The interval that the caller asked for.
        asked: Duration,
        /// The shortest interval.
        min: Duration,
    },
    /// The channel can't be opened.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The predecessor's state can't be read: it has other fields, for example.
    #[error(
        "the predecessor's state can't be resumed: {0}; to begin with the initial state instead, leave \
         out `resume`"
    )]
    Resume(SnapshotError),
    /// The initial state can't be published.
    #[error("the initial state can't be published: {0}")]
    Publish(PublishError),
    /// The system gave no thread for the channel of this name.
    #[error("the thread that publishes channel {0:?} can't be started: {1}")]
    Thread(String, io::Error),
}

debug_as_display!(SpawnError);

/// The step of a shutdown that failed. The other steps succeeded.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The last state could not be published: readers see the previous publication.
    #[error("the last state was not published: {source}")]
    Publish {
        /// Why.
        r#source: PublishError,
        /// The syncer's final statistics; all zero in a fork.
        statistics: Box<SyncerStatistics>,
    },
    /// The last state was published, but the channel could not be removed.
    #[error("{source}")]
    Close {
        /// Why.
        r#source: RemoveError,
        /// The syncer's final statistics.
        statistics: Box<SyncerStatistics>,
    },
    /// An earlier call has shut the syncer down, and has the result.
    #[error("the syncer of channel {channel:?} is already shut down: the first call has the result")]
    AlreadyShutDown {
        /// The channel.
        channel: String,
        /// The syncer's final statistics.
        statistics: Box<SyncerStatistics>,
    },
}

debug_as_display!(ShutdownError);

impl ShutdownError {
    /// The syncer's final statistics.
    #[must_use]
    pub fn statistics(&self) -> &SyncerStatistics {
        match self {
            ShutdownError::Publish { statistics, .. }
            | ShutdownError::Close { statistics, .. }
            | ShutdownError::AlreadyShutDown { statistics, .. } => statistics,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(factor: u64) -> SyncerStatistics {
        SyncerStatistics {
            ticks: 10 * factor,
            published: 2 * factor,
            skipped: 3 * factor,
            untouched: 4 * factor,
            overruns: 5 * factor,
            failed: factor,
            encode_time: Duration::from_millis(6 * factor),
            max_encode_time: Duration::from_millis(2),
            bytes: 70 * factor,
        }
    }

    #[test]
    fn the_difference_of_two_calls_is_the_work_between_them() {
        assert_eq!(some(3).diff(&some(1)), some(2));
        assert_eq!(some(3).diff(&SyncerStatistics::default()), some(3));
    }

    #[test]
    fn they_are_shown_in_one_line() {
        assert_eq!(
            some(1).to_string(),
            "10 ticks, 5 overruns; 2 published (70 bytes), 3 skipped, 4 untouched, 1 failed; encoding took 6.0ms, at \
             most 2.0ms"
        );
    }
}
