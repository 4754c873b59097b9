//! Publishing at the right moments without thinking about it: a state that is published in the background.

mod builder;
mod driver;
mod error;
mod grid;
mod shared;
mod statistics;
#[cfg(test)]
mod tests;

pub use builder::SyncerBuilder;
pub use error::{ShutdownError, SpawnError};
pub use statistics::SyncerStatistics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::PublishError;
use crate::codec::MessagePack;
use driver::Driver;
use shared::Shared;

/// A state that others see: change it whenever you like, and it is published in the background, at an interval.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let own = format!("docs-syncer-{}", std::process::id());
/// #[derive(serde::Serialize)]
/// struct WorkerState { jobs_done: u64, queue: Vec<String> }
///
/// let fleet = tearless::Namespace::open("fleet")?;
/// # let fleet = tearless::Namespace::open(&own)?;
/// let state = fleet.syncer("worker-7", WorkerState { jobs_done: 0, queue: vec!["a job".into()] })?;
/// state.update(|state| {
///     state.queue.pop();
///     state.jobs_done += 1;
/// });
/// assert_eq!(state.read(|state| state.jobs_done), 1);
/// println!("{}", state.shutdown()?); // publishes once more
/// # Ok(())
/// # }
/// ```
///
/// It owns the state and the channel's writer. Every interval (100 ms by default, see `docs/experiments.md`) a tick looks
/// whether the state was changed, encodes it, and publishes it unless it encodes to the same bytes as before. Each tick
/// that finds all well leaves a heartbeat, and the channel promises the interval to its readers:
/// [`Reader::heartbeat_age`](crate::Reader::heartbeat_age) and [`Reader::heartbeat_interval`](crate::Reader::heartbeat_interval). A tick that could not
/// take place in time is not made up for: the next one is at the next multiple of the interval.
///
/// The ticks come from a thread of its own, `tearless-sync` ([`SyncerBuilder::spawn`]), or from a task of a tokio runtime
/// (feature `tokio`, `SyncerBuilder::spawn_on`). The heartbeat is theirs: it says that this process runs and that the
/// published state is the one that its owner left, not that the owner gets on with its work.
///
/// # The last state
///
/// [`Syncer::shutdown`] and dropping it publish what was not published yet, also while a panic unwinds, and then end the
/// channel as dropping its writer would: for a last state that others can read afterwards, build it with
/// [`linger`](crate::WriterBuilder::linger). Of a process that is killed, aborts or calls `exit`, and of a syncer in a `static`
/// or that is leaked, the state of the last tick or [`Syncer::flush`] is what stays.
///
/// # Locks
///
/// The state is behind a lock that a tick holds while it encodes, but not while it publishes: so long may
/// [`update`](Syncer::update), [`replace`](Syncer::replace) and [`read`](Syncer::read) have to wait, and a tick for them. None of
/// the syncer's methods may be called in their closures, or while the state is serialized: that deadlocks or panics.
///
/// # Forks
///
/// Neither thread nor task exists in a fork of the process: nothing is published there ([`PublishError::Forked`]), and dropping
/// the syncer there ends nothing. The state's lock stays locked there if it was at the moment of the fork.
pub struct Syncer<T, C = MessagePack> {
    shared: Arc<Shared<T, C>>,
    /// `None` once it was told to stop.
    driver: Option<Driver>,
    channel: String,
    interval: Duration,
}

impl<T, C> Syncer<T, C> {
    /// Lets `change` change the state, and returns what it returns. The next tick publishes it.
    ///
    /// If `change` panics, the state is what it left, and nothing is poisoned: that will be published, too, and the next
    /// call goes on with it.
    ///
    /// Cost: a lock, which is usually free. Blocks while the state is being encoded.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.shared.update(change)
    }

    /// Puts `state` in the place of the present one, which it returns. The next tick publishes it.
    pub fn replace(&self, state: T) -> T {
        self.update(|present| std::mem::replace(present, state))
    }

    /// Lets `look` see the state as it is now, published or not.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.shared.read(look)
    }

    /// Publishes the state now, if it was changed and encodes to other bytes than before; returns the number of the
    /// publication that is in force then. Done on the calling thread; waits for a tick that is at work.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; also if only earlier ticks have tried and failed, since an unpublished state is tried again. A
    /// panic of the state's serialization is a [`PublishError::Encode`].
    pub fn flush(&self) -> Result<u64, PublishError> {
        self.shared.flush()
    }

    /// The error of the last tick that failed, also if later ones succeeded; [`SyncerStatistics::failed`] counts them.
    ///
    /// The ticks go on after an error, and each tries again until the state is published or changed to one that can be.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<PublishError>> {
        self.shared.last_error()
    }

    /// What has been done so far. Waits for a tick that is at work; in a fork that was made during one, for ever.
    #[must_use]
    pub fn statistics(&self) -> SyncerStatistics {
        self.shared.statistics()
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// From one tick to the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Stops the ticks, publishes the last state, and ends the channel as its builder says.
    ///
    /// Waits for a tick that is at work and for the thread's end; never for a tokio runtime, so it may be called in async code.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], which has the statistics, too. The channel has been ended as far as possible in any case.
    pub fn shutdown(mut self) -> Result<SyncerStatistics, ShutdownError> {
        self.end()
    }

    fn end(&mut self) -> Result<SyncerStatistics, ShutdownError> {
        let driver = self.driver.take();
        if let Err(source) = self.shared.check_owner() {
            // What drives it is not in this process: it can neither be joined nor detached.
            std::mem::forget(driver);
            return Err(ShutdownError::Publish { source, statistics: Box::default() });
        }
        if let Some(driver) = driver {
            driver.stop();
        }
        self.shared.end()
    }
}

impl<T, C> Drop for Syncer<T, C> {
    fn drop(&mut self) {
        if self.driver.is_some() {
            let _ = self.end();
        }
    }
}

impl<T, C> fmt::Debug for Syncer<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Syncer")
            .field("channel", &self.channel)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
