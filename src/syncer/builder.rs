//! The options of a syncer, and how it starts.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::Syncer;
use super::driver::Driver;
use super::report::SpawnError;
use super::shared::Shared;
use crate::channel::SnapshotError;
use crate::codec::{Decode, Encode};
use crate::object::{self, AtExit};
use crate::writer::{Writer, WriterBuilder};

/// The default time between two ticks. A published state is then 50 ms old on average, and the
/// ticks take next to no processor time: see the interval's experiment in `docs/experiments.md`.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// Shorter intervals would miss ticks: this is the granularity of tokio's timers, and not far above
/// the kernel's.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Options of a [`Syncer`]. Made by [`WriterBuilder::syncer`] from a builder with the channel's
/// options.
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct SyncerBuilder<T, C> {
    writer: WriterBuilder<T, C>,
    initial: T,
    /// What reads a predecessor's state; `None` if the syncer is to begin with `initial`.
    resume: Option<fn(&Writer<T, C>) -> Result<Option<T>, SnapshotError>>,
}

impl<T, C> WriterBuilder<T, C> {
    /// A [`Syncer`] instead of a writer: it owns the state, which begins as `initial`, and
    /// publishes it in the background.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// let jobs_done = fleet
    ///     .writer_builder::<u64>("worker-7")
    ///     .codec::<tearless::Pod>()
    ///     .linger(true)
    ///     .syncer(0)
    ///     .interval(Duration::from_millis(10))
    ///     .spawn()?;
    /// jobs_done.update(|jobs| *jobs += 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn syncer(self, initial: T) -> SyncerBuilder<T, C> {
        SyncerBuilder { writer: self, initial, resume: None }
    }
}

impl<T, C> SyncerBuilder<T, C> {
    /// The time between two ticks, at least 1 ms. Default: that of
    /// [`WriterBuilder::heartbeat_interval`], or 100 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.writer = self.writer.heartbeat_interval(interval);
        self
    }

    /// Begins with the last state of a predecessor that was killed, exited, or closed the channel
    /// with [`linger`](WriterBuilder::linger), as [`Writer::latest`] returns it. Default: begins
    /// with the initial state in any case, which is what remains if there is no predecessor, or if
    /// the channel of one with another type or codec is replaced.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// let worker = || fleet.writer_builder::<u64>("worker-7").codec::<tearless::Pod>().linger(true);
    /// let jobs_done = worker().syncer(0).resume().spawn()?;
    /// jobs_done.update(|jobs| *jobs += 41);
    /// jobs_done.shutdown()?;
    ///
    /// let jobs_done = worker().syncer(0).resume().spawn()?;
    /// assert_eq!(jobs_done.read(|jobs| *jobs), 41);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(mut self) -> Self
    where
        C: Decode<T>,
    {
        self.resume = Some(|writer| Ok(writer.latest()?.map(crate::Snapshot::into_inner)));
        self
    }
}

impl<T, C> SyncerBuilder<T, C>
where
    T: Send + 'static,
    C: Encode<T>,
    Writer<T, C>: Send + 'static,
{
    /// Opens the channel, publishes the initial state, and starts the thread whose ticks publish
    /// later states.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]: an error of [`WriterBuilder::open`] or [`Writer::publish`], an interval that
    /// is too short, a predecessor's state that can't be read, or no thread. After an error a former
    /// writer's state stays readable.
    pub fn spawn(self) -> Result<Syncer<T, C>, SpawnError> {
        self.spawn_by(|shared, interval| Driver::thread(Arc::clone(shared), interval))
    }

    /// The same, but the ticks come from a task of `runtime`. There are no ticks while the runtime
    /// does not run, or after its shutdown. Shutting the syncer down or dropping it publishes the
    /// last state in any case.
    ///
    /// A tick encodes and publishes without yielding. If encoding takes more than some tens of
    /// microseconds, prefer [`SyncerBuilder::spawn`].
    ///
    /// # Errors
    ///
    /// As [`SyncerBuilder::spawn`].
    ///
    /// # Panics
    ///
    /// If the runtime has no timer (`enable_time`).
    #[cfg(feature = "tokio")]
    pub fn spawn_on(self, runtime: &tokio::runtime::Handle) -> Result<Syncer<T, C>, SpawnError> {
        self.spawn_by(|shared, interval| Ok(Driver::task(shared, interval, runtime)))
    }

    fn spawn_by(
        self,
        start: impl FnOnce(&Arc<Shared<T, C>>, Duration) -> Result<Driver, SpawnError>,
    ) -> Result<Syncer<T, C>, SpawnError> {
        let interval = self.writer.promised().unwrap_or(DEFAULT_INTERVAL);
        if interval < MIN_INTERVAL {
            return Err(SpawnError::IntervalTooShort { asked: interval, min: MIN_INTERVAL });
        }
        let writer = self.writer.heartbeat_interval(interval).open()?;
        let initial = match self.resume.map_or(Ok(None), |latest| latest(&writer)) {
            Ok(latest) => latest.unwrap_or(self.initial),
            Err(source) => {
                writer.abandon();
                return Err(SpawnError::Resume(source));
            }
        };
        let shared = Arc::new(Shared::new(writer, initial));
        if let Err(source) = shared.flush() {
            shared.abandon();
            return Err(SpawnError::Publish(source));
        }
        let driver = start(&shared, interval)?;
        let at_exit: Weak<dyn AtExit> = Arc::<Shared<T, C>>::downgrade(&shared);
        object::at_exit(at_exit);
        Ok(Syncer { shared, driver: Mutex::new(Some(driver)), interval })
    }
}

impl<T, C> fmt::Debug for SyncerBuilder<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SyncerBuilder").field("writer", &self.writer).finish_non_exhaustive()
    }
}
