//! What a syncer's owner and its ticks share: the state behind one lock, the writer behind another.
//!
//! The order of the locks is writer, then state. Who has the state's lock only, an owner that changes it, never waits for a
//! publication; a tick has it while it encodes, and publishes after it has let go.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{ShutdownError, SyncerStatistics};
use crate::channel::PublishError;
use crate::codec::Encode;
use crate::object::ForkToken;
use crate::writer::{Changed, Writer};

/// All of it. Generic without bounds, so that a syncer can be dropped without any.
pub(super) struct Shared<T, C> {
    owner: ForkToken,
    state: Mutex<State<T>>,
    /// `None` when the syncer has ended: the channel must be free for others then, though a late tick may hold on to this.
    publisher: Mutex<Option<Publisher<T, C>>>,
}

struct State<T> {
    value: T,
    /// How often it may have been changed.
    changes: u64,
}

/// The writer, and what it did.
struct Publisher<T, C> {
    writer: Writer<T, C>,
    prepare: Prepare<T, C>,
    codec: &'static str,
    /// The changes that the last publication, or the same bytes before it, cover.
    covered: Option<u64>,
    statistics: SyncerStatistics,
    last_error: Option<Arc<PublishError>>,
}

/// `Writer::prepare`, found where its bounds were known.
type Prepare<T, C> = fn(&mut Writer<T, C>, &T) -> Result<Changed, PublishError>;

/// What came of looking at the state.
enum Look {
    Untouched,
    Encoded { changed: Changed, changes: u64 },
}

impl<T, C: Encode<T>> Shared<T, C> {
    pub(super) fn new(writer: Writer<T, C>, value: T) -> Self {
        let publisher = Publisher {
            writer,
            prepare: Writer::prepare,
            codec: C::NAME,
            covered: None,
            statistics: SyncerStatistics::default(),
            last_error: None,
        };
        Shared {
            owner: ForkToken::take(),
            state: Mutex::new(State { value, changes: 0 }),
            publisher: Mutex::new(Some(publisher)),
        }
    }
}

impl<T, C> Shared<T, C> {
    pub(super) fn check_owner(&self) -> Result<(), PublishError> {
        match self.owner.is_ours() {
            true => Ok(()),
            false => Err(PublishError::Forked { owner: self.owner.pid() }),
        }
    }

    pub(super) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = lock(&self.state);
        // First: `change` may panic half-way, and what it left is to be published.
        state.changes += 1;
        change(&mut state.value)
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&lock(&self.state).value)
    }

    /// Publishes what is not published yet.
    pub(super) fn flush(&self) -> Result<u64, PublishError> {
        // Before the locks, which a fork may have caught locked.
        self.check_owner()?;
        self.with_publisher(|publisher| publisher.sync(&self.state))
    }

    /// The same, for nobody who waits for the result.
    pub(super) fn tick(&self) {
        if let Some(publisher) = lock(&self.publisher).as_mut() {
            publisher.statistics.ticks += 1;
            if let Err(error) = publisher.sync(&self.state) {
                publisher.last_error = Some(Arc::new(error));
            }
        }
    }

    /// So many ticks did not take place.
    pub(super) fn overrun(&self, missed: u64) {
        if missed > 0
            && let Some(publisher) = lock(&self.publisher).as_mut()
        {
            publisher.statistics.overruns += missed;
        }
    }

    pub(super) fn statistics(&self) -> SyncerStatistics {
        self.with_publisher(|publisher| publisher.statistics)
    }

    pub(super) fn last_error(&self) -> Option<Arc<PublishError>> {
        self.with_publisher(|publisher| publisher.last_error.clone())
    }

    /// Publishes what is not published yet, and ends the channel.
    pub(super) fn end(&self) -> Result<SyncerStatistics, ShutdownError> {
        let mut publisher = self.take_publisher();
        let published = publisher.sync(&self.state);
        let statistics = publisher.statistics;
        let closed = publisher.writer.close();
        published.map_err(|source| ShutdownError::Publish { source, statistics: statistics.into() })?;
        closed.map_err(|source| ShutdownError::Close { source, statistics: statistics.into() })?;
        Ok(statistics)
    }

    /// Ends a channel on which nothing was published: what a former writer left stays as it was found.
    pub(super) fn abandon(&self) {
        self.take_publisher().writer.abandon();
    }

    fn take_publisher(&self) -> Publisher<T, C> {
        lock(&self.publisher).take().expect("a syncer ends once")
    }

    fn with_publisher<R>(&self, work: impl FnOnce(&mut Publisher<T, C>) -> R) -> R {
        work(lock(&self.publisher).as_mut().expect("the syncer has not ended, since somebody has it"))
    }
}

impl<T, C> Publisher<T, C> {
    /// Publishes `state` if that is needed, and counts what was done. Returns the number in force.
    fn sync(&mut self, state: &Mutex<State<T>>) -> Result<u64, PublishError> {
        let done = self.try_sync(state);
        if done.is_err() {
            self.statistics.failed += 1;
        }
        done.map(|()| self.writer.publication())
    }

    fn try_sync(&mut self, state: &Mutex<State<T>>) -> Result<(), PublishError> {
        match self.look_at(state)? {
            Look::Untouched => self.statistics.untouched += 1,
            Look::Encoded { changed: Changed::No, changes } => {
                self.statistics.skipped += 1;
                self.covered = Some(changes);
            }
            Look::Encoded { changed: Changed::Yes, changes } => {
                self.writer.publish_prepared()?;
                self.statistics.published += 1;
                self.statistics.bytes += self.writer.prepared_len() as u64;
                self.covered = Some(changes);
            }
        }
        // Only now: the heartbeat says that what is published is the state.
        self.writer.touch()
    }

    /// Encodes the state, unless it is as it was; the one thing that is done under its lock.
    fn look_at(&mut self, state: &Mutex<State<T>>) -> Result<Look, PublishError> {
        let state = lock(state);
        if self.covered == Some(state.changes) {
            return Ok(Look::Untouched);
        }
        let begin = Instant::now();
        // Safe to go on after a panic: the state is only looked at, and the writer starts each encoding anew.
        let encoded = catch_unwind(AssertUnwindSafe(|| (self.prepare)(&mut self.writer, &state.value)));
        let changes = state.changes;
        drop(state);
        let took = begin.elapsed();
        self.statistics.encode_time += took;
        self.statistics.max_encode_time = self.statistics.max_encode_time.max(took);
        match encoded {
            Ok(changed) => Ok(Look::Encoded { changed: changed?, changes }),
            Err(panic) => Err(PublishError::Encode { codec: self.codec, source: text_of(&*panic).into() }),
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("its serialization panicked: {}", text.unwrap_or("without a text"))
}

/// A panic in a user's closure leaves a state that is to be published as it is, and never unlocks the writer half-way.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
