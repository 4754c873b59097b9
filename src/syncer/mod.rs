//! A state that is published in the background: the caller changes it, and ticks publish it.

mod driver;
mod report;
mod shared;
#[cfg(test)]
mod tests;

pub use report::{ShutdownError, SpawnError, SyncerStatistics};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::channel::{PublishError, SnapshotError};
use crate::codec::{Decode, Encode, MessagePack};
use crate::object;
use crate::writer::{Writer, WriterBuilder};
use driver::Driver;
use shared::Shared;

/// The default time between two ticks. A published state is then 50 ms old on average, and the
/// ticks take next to no processor time: see the interval's experiment in `docs/experiments.md`.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// Shorter intervals would miss ticks: this is the granularity of tokio's timers, and not far above
/// the kernel's.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// A state that is published in the background at an interval, whenever it has changed.
///
/// **Readers see published states only.** Between a change and the next tick, readers and
/// [`Hub::cut`](crate::hub::Hub::cut) see the previous state. If other workers observe an effect of
/// the change (a message, a row, a finished job), call [`Syncer::flush`] before that effect:
/// otherwise a cut can show the effect without its cause, and totals over several workers can be
/// wrong. Such a cut reports [`Skew::Deferred`](crate::hub::Skew::Deferred) and is not consistent,
/// unless the worker promises to flush ([`SyncerBuilder::flushes_before_effects`]).
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
/// If the channel's names were removed by hand, a tick creates it again, within a second.
///
/// The syncer owns the state and the channel's writer. At every interval (100 ms by default, see
/// `docs/experiments.md`) a tick encodes the state if it was changed, and publishes it if its bytes
/// differ from the last publication. A tick without an error leaves a heartbeat, and the channel
/// promises the interval to its readers: [`Reader::heartbeat_age`](crate::Reader::heartbeat_age)
/// and [`Reader::heartbeat_interval`](crate::Reader::heartbeat_interval). A tick that comes too
/// late is left out: the next one is at the next multiple of the interval.
///
/// The ticks come from a thread named `tearless-sync` ([`SyncerBuilder::spawn`]), or from a task of
/// a tokio runtime (feature `tokio`, `SyncerBuilder::spawn_on`). A heartbeat says that this process
/// runs and that the published state is the current one. It does not say that the owner makes
/// progress.
///
/// # The last state
///
/// [`Syncer::shutdown`] and dropping the syncer publish the last state, also while a panic unwinds,
/// and then end the channel as dropping its writer would: for a last state that stays readable,
/// build it with [`linger`](crate::WriterBuilder::linger). A state that owns its
/// syncer may drop it while the state is serialized: that drop stops the ticks and waits for
/// nothing, and the channel ends after the running tick.
///
/// A process that calls `exit`, or returns from `main`, publishes the last state of every syncer
/// that it has not dropped: one in a `static`, or held by a thread that `main` does not join. The
/// channel stays open for a successor, and readers see
/// [`WriterState::Exited`](crate::inspect::WriterState::Exited). The exit waits three seconds at
/// most for locks that others hold. If the state is locked for longer (by a closure that was passed
/// to [`update`](Syncer::update) and calls `exit`, for example), the state of the last tick or
/// [`Syncer::flush`] stays; so it does if the process is killed, aborts or calls `_exit`.
///
/// # SIGTERM
///
/// By default SIGTERM kills a process, and a deployment looks like a crash. Two lines make it an
/// exit, here with tokio, and with any crate for signals elsewhere:
///
/// ```no_run
/// # async fn main_task() -> std::io::Result<()> {
/// use tokio::signal::unix::{SignalKind, signal};
/// let mut stop = signal(SignalKind::terminate())?;
/// tokio::spawn(async move { if stop.recv().await.is_some() { std::process::exit(0) } });
/// # Ok(())
/// # }
/// ```
///
/// A worker that waits for `stop.recv()` in its main loop, and then calls [`Syncer::shutdown`],
/// closes the channel. The command tells the three ends apart: `dead`, `exited` and `closed`.
///
/// # Locks
///
/// The state has a lock. A tick holds it while it encodes, but not while it publishes: for that
/// time [`update`](Syncer::update), [`replace`](Syncer::replace) and [`read`](Syncer::read) wait,
/// and a tick waits for them. A call of one of the syncer's methods inside of a closure that was
/// passed to `update` or `read`, or while the state is serialized, would wait for itself: it panics
/// instead.
///
/// # Forks
///
/// A fork of the process has neither the thread nor the task: the syncer publishes nothing there
/// ([`PublishError::Forked`]), and dropping it there ends nothing. If the state's lock was held at
/// the moment of the fork, it stays locked there.
#[must_use = "dropping a syncer ends its channel"]
pub struct Syncer<T, C = MessagePack> {
    shared: Arc<Shared<T, C>>,
    /// `None` after the shutdown. Locked for all of a shutdown, so that a second call comes after
    /// it.
    driver: Mutex<Option<Driver>>,
    interval: Duration,
}

impl<T, C> Syncer<T, C> {
    /// Calls `change` on the state and returns its result. The next tick publishes the state.
    ///
    /// If `change` panics, the state is what `change` left. It is published, and the syncer stays
    /// usable.
    ///
    /// Cost: a lock, which is usually free. Waits while the state is encoded. After a shutdown the
    /// state still changes, but is no longer published.
    ///
    /// # Panics
    ///
    /// If this thread holds the state: in a closure that was passed to `update` or
    /// [`read`](Self::read), or while the state is serialized.
    #[track_caller]
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.shared.state.hold(|state| {
            // Before the call: `change` may panic half-way, and its partial change must be
            // published.
            state.changes += 1;
            change(&mut state.value)
        })
    }

    /// Replaces the state by `state` and returns the old one. The next tick publishes it.
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[track_caller]
    pub fn replace(&self, state: T) -> T {
        self.update(|current| std::mem::replace(current, state))
    }

    /// Calls `look` on the current state, published or not, and returns its result.
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[track_caller]
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.shared.state.hold(|state| look(&state.value))
    }

    /// Publishes the state now, if it has changed and its bytes differ from the last publication;
    /// returns the number of the last publication. Works on the calling thread, and waits for a
    /// running tick.
    ///
    /// # Errors
    ///
    /// [`PublishError`], also if only earlier ticks have tried and failed: an unpublished state is
    /// tried again. A panic of the state's serialization is a [`PublishError::Encode`]. After a
    /// shutdown it is [`PublishError::Closed`]. [`PublishError::RegistryNotRestored`] is left to
    /// [`Syncer::last_error`].
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[track_caller]
    pub fn flush(&self) -> Result<u64, PublishError> {
        self.shared.flush()
    }

    /// The error of the last failed tick, also if later ticks succeeded;
    /// [`SyncerStatistics::failed`] counts the errors.
    ///
    /// The ticks continue after an error. Each tries again, until the state is published or changes
    /// to one that can be. A namespace's registry that can't be made again
    /// ([`PublishError::RegistryNotRestored`]) is seen only here, also if the state was published.
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[must_use]
    #[track_caller]
    pub fn last_error(&self) -> Option<Arc<PublishError>> {
        self.shared.publisher().last_error.clone()
    }

    /// What the syncer has done so far. Waits for a running tick; in a fork that was made during a
    /// tick, it waits for ever.
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[must_use]
    #[track_caller]
    pub fn statistics(&self) -> SyncerStatistics {
        self.shared.publisher().statistics
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.shared.channel
    }

    /// The time between two ticks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Stops the ticks, publishes the last state, and ends the channel as its builder says. It
    /// takes `&self`, so it works through an [`Arc`], too.
    ///
    /// Waits for a running tick and for the end of the thread. It never waits for a tokio runtime,
    /// so async code may call it.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`], which has the statistics, too. The channel is ended as far as possible in
    /// any case. Every call after the first returns [`ShutdownError::AlreadyShutDown`], after the
    /// first has finished.
    ///
    /// # Panics
    ///
    /// As [`Syncer::update`].
    #[track_caller]
    pub fn shutdown(&self) -> Result<SyncerStatistics, ShutdownError> {
        if let Err(source) = self.shared.check_owner() {
            return Err(ShutdownError::Publish { source, statistics: Box::default() });
        }
        self.shared.state.check_not_held_here();
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = driver.take().and_then(Driver::stop) {
            // The thread cannot panic: panics of the user's code are caught. If it did, the last
            // state would still be published next.
            let _ = thread.join();
        }
        self.shared.end()
    }
}

impl<T, C> Drop for Syncer<T, C> {
    fn drop(&mut self) {
        let driver = self.driver.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.shared.check_owner().is_err() {
            // The thread or task does not exist in this process: it can be neither joined nor
            // detached.
            std::mem::forget(driver.take());
        } else if self.shared.state.is_held_here() {
            // This thread may be the one that ticks. The wait for its end and the locks of a
            // shutdown would be waits for itself. The running tick publishes the state, and the
            // writer is dropped with the last reference to `shared`.
            drop(driver.take().map(Driver::stop));
        } else if driver.is_some() {
            let _ = self.shutdown();
        }
    }
}

debug_by!(Syncer<T, C>, |it| channel: it.channel(), interval: it.interval);

/// Options of a [`Syncer`]. Made by [`WriterBuilder::syncer`] from a builder with the channel's
/// options.
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct SyncerBuilder<T, C> {
    /// It defers its publications, unless the owner promises to flush.
    writer: WriterBuilder<T, C>,
    initial: T,
    /// What reads a predecessor's state; `None` if the syncer is to begin with `initial`.
    resume: Option<Latest<T, C>>,
}

/// [`Writer::latest`], taken where its bounds are known.
type Latest<T, C> = fn(&Writer<T, C>) -> Result<Option<T>, SnapshotError>;

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
        SyncerBuilder { writer: self.deferred(true), initial, resume: None }
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

    /// Promises readers that the owner calls [`Syncer::flush`] after each change, before another
    /// worker can observe an effect of it. [`Hub::cut`](crate::hub::Hub::cut) then takes the
    /// syncer's states for consistent. Nothing checks the promise. Default: no promise.
    pub fn flushes_before_effects(mut self, promise: bool) -> Self {
        self.writer = self.writer.deferred(!promise);
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
    /// is too short, a predecessor's state that can't be read, or no thread. After an error a
    /// former writer's state stays readable.
    pub fn spawn(self) -> Result<Syncer<T, C>, SpawnError> {
        self.spawn_by(Driver::thread)
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
            let (channel, asked, min) = (self.writer.channel, interval, MIN_INTERVAL);
            return Err(SpawnError::IntervalTooShort { channel, asked, min });
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
        object::at_exit(&shared);
        Ok(Syncer { shared, driver: Mutex::new(Some(driver)), interval })
    }
}

debug_by!(SyncerBuilder<T, C>, |it| writer: it.writer);
