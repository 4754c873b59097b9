//! What can go wrong with a syncer as a whole. Of single publications, `PublishError` tells.

use std::io;
use std::time::Duration;

use super::SyncerStatistics;
use crate::channel::{CreateError, PublishError, RemoveError};

/// Why a syncer could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// Not clamped: the interval is also what readers are promised.
    #[error(
        "an interval of {asked:?} is too short: ask for at least {min:?}, or publish each change with a `Writer`"
    )]
    IntervalTooShort {
        /// What was asked for.
        asked: Duration,
        /// What is possible.
        min: Duration,
    },
    /// The channel can't be opened.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The initial state can't be published.
    #[error("the initial state can't be published: {0}")]
    Publish(#[source] PublishError),
    /// The system gave no thread.
    #[error("the thread that publishes can't be started: {0}")]
    Thread(#[source] io::Error),
}

/// What of a shutdown did not succeed. The rest of it was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The last state could not be published: readers have seen none later than the one before.
    #[error("the last state was not published: {source}")]
    Publish {
        /// Why.
        source: PublishError,
        /// What was done until then; all zero in a fork.
        statistics: Box<SyncerStatistics>,
    },
    /// The last state was published, but the channel could not be removed.
    #[error("{source}")]
    Close {
        /// Why.
        source: RemoveError,
        /// What was done until then.
        statistics: Box<SyncerStatistics>,
    },
}

impl ShutdownError {
    /// What was done until then.
    #[must_use]
    pub fn statistics(&self) -> &SyncerStatistics {
        match self {
            ShutdownError::Publish { statistics, .. } | ShutdownError::Close { statistics, .. } => statistics,
        }
    }
}
