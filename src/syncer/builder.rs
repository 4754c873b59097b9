//! From a writer's builder to a syncer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::shared::Shared;
use super::{SpawnError, Syncer};
use crate::codec::Encode;
#[cfg(feature = "message-pack")]
use crate::codec::MessagePack;
use crate::namespace::Namespace;
use crate::writer::{Writer, WriterBuilder};

/// From one tick to the next, where the user doesn't say. What a query sees is then 50 ms old on average, for next to no
/// processor time: see the interval's experiment in `docs/experiments.md`.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// Below that the ticks would not be in time: it is the granularity of tokio's timers, and not far above the kernel's.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Chooses what a [`Syncer`] is like. Made by [`WriterBuilder::syncer`], whose options are the channel's.
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct SyncerBuilder<T, C> {
    writer: WriterBuilder<T, C>,
    initial: T,
}

impl<T, C> WriterBuilder<T, C> {
    /// A [`Syncer`] instead of a writer: owns the state, from `initial` on, and publishes it in the background.
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
        SyncerBuilder { writer: self, initial }
    }
}

impl Namespace {
    /// A [`Syncer`] with all options at their defaults and the default codec, MessagePack: owns the state, from `initial` on,
    /// and a thread that publishes it. For other options see [`WriterBuilder::syncer`].
    ///
    /// # Errors
    ///
    /// As [`SyncerBuilder::spawn`].
    #[cfg(feature = "message-pack")]
    pub fn syncer<T>(&self, channel: &str, initial: T) -> Result<Syncer<T, MessagePack>, SpawnError>
    where
        T: Send + 'static,
        MessagePack: Encode<T>,
        Writer<T, MessagePack>: Send + 'static,
    {
        self.writer_builder(channel).syncer(initial).spawn()
    }
}

impl<T, C> SyncerBuilder<T, C> {
    /// From one tick to the next, at least 1 ms. Default: what [`WriterBuilder::heartbeat_interval`] was given, or 100 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.writer = self.writer.heartbeat_interval(interval);
        self
    }
}

impl<T, C> SyncerBuilder<T, C>
where
    T: Send + 'static,
    C: Encode<T>,
    Writer<T, C>: Send + 'static,
{
    /// Opens the channel, publishes the initial state, and starts the thread whose ticks publish later ones.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]: what [`WriterBuilder::open`] or [`Writer::publish`] may refuse, an interval that is too short, or no
    /// thread. If the initial state can't be published, that of a former writer stays readable.
    pub fn spawn(self) -> Result<Syncer<T, C>, SpawnError> {
        self.spawn_by(|shared, interval| Driver::thread(Arc::clone(shared), interval))
    }

    /// The same, but the ticks come from a task of `runtime`. There are none while nobody drives the runtime, or after its
    /// shutdown; the last state is published all the same when the syncer is shut down or dropped.
    ///
    /// A tick encodes and publishes without yielding: for states that take more than some tens of microseconds to encode
    /// prefer [`SyncerBuilder::spawn`].
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
        let channel = writer.channel().to_owned();
        let shared = Arc::new(Shared::new(writer, self.initial));
        if let Err(source) = shared.flush() {
            shared.abandon();
            return Err(SpawnError::Publish(source));
        }
        let driver = start(&shared, interval)?;
        Ok(Syncer { shared, driver: Some(driver), channel, interval })
    }
}

impl<T, C> fmt::Debug for SyncerBuilder<T, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SyncerBuilder").field("writer", &self.writer).finish_non_exhaustive()
    }
}
