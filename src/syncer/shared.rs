//! What a syncer and its ticks share: the state under one lock, the writer under another.
//!
//! Lock order: writer before state. A tick holds the state's lock only while it encodes, and
//! publishes after it has released it: a caller of `update` never waits for a publication.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::report::{ShutdownError, SyncerStatistics};
use crate::channel::{CreateError, PublishError};
use crate::clock::Timer;
use crate::codec::{Encode, text_of_panic};
use crate::object::{AtExit, ForkToken};
use crate::writer::{Changed, Writer};

/// Generic without bounds, so that dropping a syncer needs none.
pub(super) struct Shared<T, C> {
    owner: ForkToken,
    pub(super) channel: String,
    pub(super) state: StateLock<T>,
    publisher: Mutex<Publisher<T, C>>,
}

/// The time between two tries to create a channel again that lost its names: another writer may
/// have the name.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The writer, and a record of its work.
pub(super) struct Publisher<T, C> {
    /// `None` after the shutdown: the channel is then free for other writers, although a late tick
    /// of a task may still hold `Shared`.
    writer: Option<Writer<T, C>>,
    prepare: Prepare<T, C>,
    codec: &'static str,
    /// When to try to create a channel again that lost its names.
    reopen: Timer,
    /// Why the last try failed.
    not_reopened: Option<Arc<CreateError>>,
    /// The value of [`State::changes`] up to which the last publication has the state.
    covered: Option<u64>,
    pub(super) statistics: SyncerStatistics,
    pub(super) last_error: Option<Arc<PublishError>>,
}

/// [`Writer::prepare`], taken where its bounds are known.
type Prepare<T, C> = fn(&mut Writer<T, C>, &T) -> Result<Changed, PublishError>;

impl<T, C: Encode<T>> Shared<T, C> {
    pub(super) fn new(writer: Writer<T, C>, value: T) -> Self {
        Shared {
            owner: ForkToken::take(),
            channel: writer.channel().to_owned(),
            state: StateLock::new(value),
            publisher: Mutex::new(Publisher {
                writer: Some(writer),
                prepare: Writer::prepare,
                codec: C::NAME,
                reopen: Timer::new(REOPEN_AFTER),
                not_reopened: None,
                covered: None,
                statistics: SyncerStatistics::default(),
                last_error: None,
            }),
        }
    }
}

impl<T, C> Shared<T, C> {
    pub(super) fn check_owner(&self) -> Result<(), PublishError> {
        let is_ours = self.owner.is_ours();
        let forked = || PublishError::Forked { channel: self.channel.clone(), owner: self.owner.pid() };
        is_ours.then_some(()).ok_or_else(forked)
    }

    /// Publishes the state, unless the last publication has it.
    #[track_caller]
    pub(super) fn flush(&self) -> Result<u64, PublishError> {
        // Before the locks: a fork may have copied them locked.
        self.check_owner()?;
        let published = self.publisher().sync(&self.state);
        published.unwrap_or_else(|| Err(PublishError::Closed { channel: self.channel.clone() }))
    }

    /// The same for a tick, which keeps the error.
    pub(super) fn tick(&self) {
        let mut publisher = self.publisher();
        if let Some(published) = publisher.sync(&self.state) {
            publisher.statistics.ticks += 1;
            if let Err(error) = published {
                publisher.last_error = Some(Arc::new(error));
            }
        }
    }

    /// Counts ticks that were left out.
    pub(super) fn overrun(&self, missed: u64) {
        if missed > 0 {
            self.publisher().statistics.overruns += missed;
        }
    }

    /// Publishes the last state and ends the channel.
    pub(super) fn end(&self) -> Result<SyncerStatistics, ShutdownError> {
        let mut publisher = self.publisher();
        let published = publisher.sync(&self.state);
        let statistics = publisher.statistics;
        let Some(published) = published else {
            let (channel, statistics) = (self.channel.clone(), statistics.into());
            return Err(ShutdownError::AlreadyShutDown { channel, statistics });
        };
        let closed = publisher.writer.take().map_or(Ok(()), |mut writer| {
            if published.is_ok() {
                writer.end_deferral();
            }
            writer.close()
        });
        published.map_err(|source| ShutdownError::Publish { source, statistics: statistics.into() })?;
        closed.map_err(|source| ShutdownError::Close { source, statistics: statistics.into() })?;
        Ok(statistics)
    }

    /// Gives up a channel on which nothing was published: the state of a former writer stays.
    pub(super) fn abandon(&self) {
        if let Some(writer) = self.publisher().writer.take() {
            writer.abandon();
        }
    }

    #[track_caller]
    pub(super) fn publisher(&self) -> MutexGuard<'_, Publisher<T, C>> {
        // A tick may hold this lock and wait for the state's.
        self.state.check_not_held_here();
        lock(&self.publisher)
    }
}

impl<T: Send + 'static, C> AtExit for Shared<T, C>
where
    Writer<T, C>: Send + 'static,
{
    /// Publishes the last state of a syncer that is not dropped before the exit. The channel does
    /// not end: other threads may be using the syncer.
    fn at_exit(self: Arc<Self>, done: Sender<()>) {
        // The thread that exits may hold the state, or what the state's serialization locks.
        let _ = thread::Builder::new().spawn(move || {
            // No caller is left for an error.
            let _ = self.flush();
            drop(done);
        });
    }
}

impl<T, C> Publisher<T, C> {
    /// Publishes the state unless the last publication has it, and counts the attempt. Returns the
    /// number of the last publication; `None` after the shutdown. A channel whose names were
    /// removed is created again.
    fn sync(&mut self, state: &StateLock<T>) -> Option<Result<u64, PublishError>> {
        let synced = self.try_sync(state)?;
        if !matches!(synced, Err(PublishError::NamesRemoved { .. })) {
            self.not_reopened = None;
            return Some(synced);
        }
        if self.reopen.is_due() {
            self.not_reopened = self.writer.as_mut()?.reopen().err().map(Arc::new);
            if self.not_reopened.is_none() {
                self.covered = None;
                return self.try_sync(state);
            }
        }
        let (channel, why) = (self.writer.as_ref()?.channel().into(), self.not_reopened.clone());
        Some(why.map_or(synced, |source| Err(PublishError::NamesNotRestored { channel, source })))
    }

    fn try_sync(&mut self, state: &StateLock<T>) -> Option<Result<u64, PublishError>> {
        let writer = self.writer.as_mut()?;
        let encoded = state.hold(|state| {
            if self.covered == Some(state.changes) {
                return None;
            }
            let begin = Instant::now();
            // Unwind safe: encoding only reads the state, and the writer starts each encoding from
            // the beginning.
            let result = catch_unwind(AssertUnwindSafe(|| (self.prepare)(writer, &state.value)));
            Some((result, state.changes, begin.elapsed()))
        });
        let done = match encoded {
            None => {
                self.statistics.untouched += 1;
                Ok(())
            }
            Some((result, changes, took)) => {
                self.statistics.encode_time += took;
                self.statistics.max_encode_time = self.statistics.max_encode_time.max(took);
                let (codec, channel) = (self.codec, || writer.channel().to_owned());
                let panicked = |panic: Box<dyn Any + Send>| {
                    let text = format!("its serialization panicked: {}", text_of_panic(&*panic));
                    Err(PublishError::Encode { channel: channel(), codec, source: text.into() })
                };
                let published = result
                    .unwrap_or_else(panicked)
                    .and_then(|changed| publish(writer, changed, &mut self.statistics));
                published.map(|()| self.covered = Some(changes))
            }
        };
        // The heartbeat says that the published state is the current one: only after success.
        let mut done = done.and_then(|()| writer.touch());
        if let Err(error @ PublishError::RegistryNotRestored { .. }) = done {
            // The state is published, and the channel has its names.
            self.last_error = Some(Arc::new(error));
            done = Ok(());
        }
        self.statistics.failed += u64::from(done.is_err());
        Some(done.map(|()| writer.publication()))
    }
}

/// Publishes an encoded state, if its bytes differ from the last publication.
fn publish<T, C>(
    writer: &mut Writer<T, C>,
    changed: Changed,
    statistics: &mut SyncerStatistics,
) -> Result<(), PublishError> {
    match changed {
        Changed::No => statistics.skipped += 1,
        Changed::Yes => {
            writer.publish_prepared()?;
            statistics.published += 1;
            statistics.bytes += writer.prepared_len() as u64;
        }
    }
    Ok(())
}

/// The state's lock. It knows the thread that holds it, and panics where that thread would wait for
/// itself.
pub(super) struct StateLock<T> {
    state: Mutex<State<T>>,
    /// [`thread_number`] of the thread that holds the lock; 0 while the lock is free.
    ///
    /// Relaxed: a thread asks only for its own number, which no other thread stores, and it sees
    /// its own stores in order.
    holder: AtomicU64,
}

pub(super) struct State<T> {
    pub(super) value: T,
    /// Number of calls that may have changed the value.
    pub(super) changes: u64,
}

impl<T> StateLock<T> {
    fn new(value: T) -> StateLock<T> {
        StateLock { state: Mutex::new(State { value, changes: 0 }), holder: AtomicU64::new(0) }
    }

    /// Calls `work` on the state, under the lock.
    #[track_caller]
    pub(super) fn hold<R>(&self, work: impl FnOnce(&mut State<T>) -> R) -> R {
        self.check_not_held_here();
        let mut state = lock(&self.state);
        self.holder.store(thread_number(), Ordering::Relaxed);
        // Dropped before the lock is released, also if `work` panics.
        let _held = Held(&self.holder);
        work(&mut state)
    }

    pub(super) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == thread_number()
    }

    /// Panics if this thread holds the lock.
    #[track_caller]
    pub(super) fn check_not_held_here(&self) {
        assert!(
            !self.is_held_here(),
            "this thread holds the syncer's state and would wait for itself: do not call the syncer in a \
             closure that was passed to its `update` or `read`, or while its state is serialized"
        );
    }
}

/// Forgets the thread that holds the lock.
struct Held<'a>(&'a AtomicU64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A number of this thread that is not 0 and that no other thread of the process ever has.
fn thread_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: u64 = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    }
    NUMBER.with(|number| *number)
}

/// Locks also after a panic in a caller's closure: the state that the closure left is published as
/// it is, and no panic leaves the writer half-way.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
