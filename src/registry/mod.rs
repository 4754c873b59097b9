//! The directory of a namespace's channels, for processes that don't know the names in advance.
//!
//! Listing takes no lock: every entry is a pair of slots of the same protocol as the payload's,
//! validated by the same code. A process changes the table under the kernel's lock on its first
//! object. A change that is cut short by a kill leaves either the old or the new table, and the
//! next change counts it.
//!
//! A table begins small. When it is full, it gets a chunk that doubles it, an object of its own. A
//! change needs the last chunk, which has the index of all entries, and that of its entry. What a
//! writer mapped to enter its channel stays mapped as long as it is entered, and the process shares
//! it: the next change opens and checks each object, and maps none. A kept descriptor would save
//! that, too. But forks share its lock: if the process is killed during a change, a fork that was
//! made long before would keep the table locked for as long as it lives.
//!
//! The table is an index; a channel's control page is the truth. A channel can be read without
//! being in the table, and cleanup removes an entry whose channel is gone. The objects exist as
//! long as there is an entry.

mod session;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use session::Session;
pub use table::ChannelInfo;

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::channel::{AttachError, ChannelName, ChannelReader, KnownChannels, ReaderOptions, WaitersPage};
use crate::clock::Timer;
use crate::layout::registry::{self, Chunk, waiters};
use crate::layout::{ObjectNames, WORD_BYTES};
use crate::memory::{Memory, ObjectId, ReadOnlyWords, Words};
use crate::object::{Access, Backend, Claim, ClaimOptions, ObjectError, Size, if_exists};
use crate::seqlock::ready::{self, Readiness};
use table::{Chunks, ChunksMut, Obstacle, Table, Version, is_chunk};

/// Bytes of the table's first object.
const BYTES: usize = Chunk(0).bytes();

/// How long a process uses a table before it checks that the table still has its name: a cleanup by
/// hand removes names, and the table can't say so.
const CHECK_NAMES_AFTER: Duration = Duration::from_millis(250);

/// How long a process waits at most for the table, while others change it.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Maximum tries to register, or to list; each further one found a table that had ended.
const MAX_TRIES: usize = 100;

/// The registry of a namespace.
pub(crate) struct Registry<'a> {
    backend: &'a Arc<dyn Backend>,
    namespace: &'a str,
    object: String,
    /// How long to wait for a process that holds the table and does not change it.
    patience: Duration,
}

/// A new entry, in a table that is still claimed.
pub(crate) struct Entered<'a> {
    pub(crate) objects: EntryObjects,
    /// The waiters' page of its table.
    pub(crate) page: Option<WaitersPage>,
    held: Held<'a>,
}

impl Entered<'_> {
    /// A few of the channels, if there are more than `max`. All processes that ask share one
    /// cursor: together they see all.
    pub(crate) fn next_few(&mut self, max: usize) -> Vec<ChannelInfo> {
        let Held { objects, table } = &mut self.held;
        if table.count() > max { table.next_few(objects) } else { Vec::new() }
    }
}

/// The objects that have an entry: the table's first one, and the entry's chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryObjects([(Chunk, ObjectId); 2]);

impl<'a> Registry<'a> {
    pub(crate) fn of(backend: &'a Arc<dyn Backend>, namespace: &'a str) -> Registry<'a> {
        let object = ObjectNames::registry(namespace);
        let patience = ClaimOptions::create(Size::Exactly(BYTES)).patience;
        Registry { backend, namespace, object, patience }
    }

    /// Enters a channel, or its new writer. `access` becomes a part of the registry's.
    pub(crate) fn register(&self, info: &ChannelInfo, access: Access) -> Result<Entered<'_>, ObjectError> {
        for _ in 0..MAX_TRIES {
            let mut held = self.claim(true)?;
            if held.table.prepare(self.namespace, &self.path())? {
                let entered = held.admit(access).and_then(|()| held.enter(info));
                held.table.wake_waiters();
                // After an error: the table may have been made only for this entry. The original
                // error matters more.
                let (objects, page) = entered.inspect_err(|_| drop(held.remove_if_empty()))?;
                return Ok(Entered { objects, page, held });
            }
            held.remove()?;
        }
        Err(ObjectError::Claimed { object: self.path() })
    }

    /// Removes the entries of these instances of channels, and the table if it has no entry: its
    /// creator, or the process that removed the last entry, may have been killed.
    pub(crate) fn deregister(&self, gone: &[(&str, u64)]) -> Result<(), ObjectError> {
        let Some(mut held) = if_exists(self.claim(false))? else { return Ok(()) };
        if !held.table.prepare(self.namespace, &self.path())? {
            return held.remove();
        }
        if gone.is_empty() {
            held.change(|table, objects| table.repair(objects))?;
        }
        for (channel, instance) in gone {
            held.change(|table, objects| table.remove(channel, *instance, objects))?;
        }
        if !gone.is_empty() {
            held.table.wake_waiters();
        }
        held.remove_if_empty()
    }

    /// Removes the chunks that a registry left which lost its first object, unless there is one
    /// again.
    pub(crate) fn remove_leftover_chunks(&self) -> Result<bool, ObjectError> {
        let mut held = self.claim(true)?;
        if ready::check(held.objects.claim.memory()) != Readiness::NotReady {
            return Ok(false);
        }
        let _ = held.table.prepare(self.namespace, &self.path())?;
        let removed = held.change(|table, objects| table.repair(objects));
        held.remove_if_empty().and(removed).map(|()| true)
    }

    /// Removes `object`, the registry of another version of the layout, unless `is_used` says, once
    /// no process can change it, that the namespace has a channel of that version. Returns whether
    /// it was removed.
    pub(crate) fn remove_other(
        &self,
        object: &str,
        is_used: impl FnOnce() -> Result<bool, ObjectError>,
    ) -> Result<bool, ObjectError> {
        // Its table may have no memory behind its last entry, and is not read.
        let claim = match self.backend.claim(object, ClaimOptions::existing(Size::Any), &|_| false) {
            // In use, gone, or a file of another program.
            Err(ObjectError::Claimed { .. } | ObjectError::NotFound { .. } | ObjectError::Foreign { .. }) => {
                return Ok(false);
            }
            claimed => claimed?,
        };
        // One of this version may have taken its name.
        let is_left = ready::check(claim.memory()) != Readiness::Ready && !is_used()?;
        if is_left {
            claim.remove()?;
        }
        Ok(is_left)
    }

    /// Claims the table. Each process holds it only during a change, unless the process is stopped
    /// there: waits as long as others change the table, at most for [`LONGEST_WAIT`], and gives up
    /// once no change is seen for as long as its patience lasts.
    fn claim(&self, create: bool) -> Result<Held<'_>, ObjectError> {
        // It looks at the table twice in its patience.
        let patience = self.patience / 2;
        let options = ClaimOptions { create, patience, ..ClaimOptions::create(Size::Exactly(BYTES)) };
        let begin = Instant::now();
        let (mut last_change, mut seen) = (begin, None);
        loop {
            match self.backend.claim(&self.object, options, &|_| true) {
                Err(ObjectError::Claimed { object }) if !patience.is_zero() => {
                    // A table that can't be mapped now is no change.
                    let view = self.view().ok().flatten();
                    let now = view.map(|view| Table::new(view).version()).or(seen);
                    let before = mem::replace(&mut seen, now);
                    if before.is_some() && now != before {
                        last_change = Instant::now();
                    }
                    // The first look has none to compare with.
                    let is_still = now == before && last_change.elapsed() >= self.patience;
                    if is_still || begin.elapsed() >= LONGEST_WAIT {
                        return Err(ObjectError::Claimed { object });
                    }
                    thread::yield_now();
                }
                Err(error) => return Err(error),
                Ok(claim) => {
                    let table = Table::new(claim.memory().clone());
                    return Ok(Held { objects: HeldObjects { registry: self, claim }, table });
                }
            }
        }
    }

    /// Whether no channel is registered.
    pub(crate) fn is_empty(&self) -> Result<bool, ObjectError> {
        Ok(self.view()?.is_none_or(|view| Table::new(view).count() == 0))
    }

    /// All registered channels. Takes no lock.
    pub(crate) fn list(&self) -> Result<Vec<ChannelInfo>, ObjectError> {
        for _ in 0..MAX_TRIES {
            let Some(view) = self.view()? else { break };
            let mut table = Table::new(view);
            let listed = table.list(self)?;
            // The chunks of a table that has ended may be another table's by now.
            if !table.has_ended() {
                return Ok(listed);
            }
        }
        Ok(Vec::new())
    }

    /// [`channel::attach`]; the error of a missing channel knows those that there are, unless they
    /// are many.
    pub(crate) fn attach(
        &self,
        name: &ChannelName,
        options: &ReaderOptions,
    ) -> Result<ChannelReader, AttachError> {
        let mut attached = crate::channel::attach(self.backend, name, options);
        if let Err(AttachError::NotFound { known, .. }) = &mut attached
            && let Ok(Some(view)) = self.view()
            && Table::new(view).count() <= KnownChannels::MAX_COMPARED
        {
            let listed = self.list().unwrap_or_default().into_iter();
            known.0 = listed.map(|info| (info.name.into(), info.instance)).collect();
        }
        attached
    }

    /// The waiters' page of the table; `None` while there is no table.
    pub(crate) fn waiters_page(&self) -> Result<Option<WaitersPage>, ObjectError> {
        let (start, bytes) = (waiters::START * WORD_BYTES, waiters::WORDS * WORD_BYTES);
        let words = if_ready(self.backend.part(&self.object, start, bytes))?;
        Ok(words.and_then(page_of))
    }

    /// Whether a name of the registry no longer means the object that has this entry; `None` if it
    /// can't be looked up.
    fn has_lost(&self, EntryObjects(objects): EntryObjects) -> Option<bool> {
        let mut is_named = true;
        for (chunk, object) in objects.iter().take(if objects[0] == objects[1] { 1 } else { 2 }) {
            is_named &= self.backend.is_named(&self.name(*chunk), *object).ok()?;
        }
        Some(!is_named)
    }

    /// The path of the table's first object, for errors.
    fn path(&self) -> String {
        self.backend.path(&self.object)
    }

    /// The name of a chunk's object.
    fn name(&self, chunk: Chunk) -> String {
        ObjectNames::chunk_of_prefix(&ObjectNames::prefix(self.namespace), chunk.0)
    }

    /// The table, read-only; `None` while there is none.
    fn view(&self) -> Result<Option<ReadOnlyWords>, ObjectError> {
        let Some(view) = if_ready(self.backend.view(&self.object))? else { return Ok(None) };
        if view.len() * WORD_BYTES < BYTES {
            let (object, reason) = (self.path(), "its size is not that of a registry".into());
            return Err(ObjectError::Foreign { object, reason });
        }
        let is_usable = Table::new(view.clone()).is_usable(self.namespace, &self.path())?;
        Ok(is_usable.then_some(view))
    }
}

/// The page that these words are, unless its registry has ended.
fn page_of(words: Words) -> Option<WaitersPage> {
    let page = WaitersPage { instance: words.load(waiters::INSTANCE), words };
    Some(page).filter(|page| page.instance != 0)
}

/// What is mapped, if it is a whole chunk of the table `instance`.
fn if_chunk<M: Memory>(
    mapped: Result<M, ObjectError>,
    chunk: Chunk,
    instance: u64,
) -> Result<Option<M>, ObjectError> {
    match if_ready(mapped) {
        // Whether it can be replaced shows when it has to be.
        Err(ObjectError::Foreign { .. } | ObjectError::OtherVersion { .. }) => Ok(None),
        found => Ok(found?.filter(|memory| is_chunk(memory, chunk, instance))),
    }
}

impl Chunks<ReadOnlyWords> for Registry<'_> {
    fn open(&self, chunk: Chunk, instance: u64) -> Result<Option<ReadOnlyWords>, ObjectError> {
        if_chunk(self.backend.view(&self.name(chunk)), chunk, instance)
    }
}

/// A claimed table.
struct Held<'a> {
    objects: HeldObjects<'a>,
    table: Table<Words>,
}

/// The objects of a claimed table.
struct HeldObjects<'a> {
    registry: &'a Registry<'a>,
    claim: Box<dyn Claim>,
}

impl Held<'_> {
    /// Makes a change of the table.
    fn change<T>(
        &mut self,
        change: impl Fn(&mut Table<Words>, &HeldObjects<'_>) -> Result<T, Obstacle>,
    ) -> Result<T, ObjectError> {
        let Held { objects, table } = self;
        let object = objects.registry.path();
        table.attempt(objects, |table| change(table, objects)).map_err(|obstacle| match obstacle {
            Obstacle::Object(error) => error,
            Obstacle::Full => ObjectError::Full { object, channels: registry::MAX },
            Obstacle::Damaged => {
                ObjectError::Foreign { object, reason: "another program changes its words".into() }
            }
        })
    }

    /// Enters a channel, or its new writer.
    fn enter(&mut self, info: &ChannelInfo) -> Result<(EntryObjects, Option<WaitersPage>), ObjectError> {
        let index = self.change(|table, objects| table.enter(info, objects))?;
        let words = self.objects.claim.memory();
        let own = (Chunk::of_entry(index), self.table.memory_of(index).unwrap_or(words).object());
        let page = words.part(waiters::START, waiters::WORDS).and_then(page_of);
        Ok((EntryObjects([(Chunk(0), words.object()), own]), page))
    }

    /// Lets the registry also admit the users that `wanted` admits. It admits the users of all
    /// writers since it was created.
    fn admit(&self, wanted: Access) -> Result<(), ObjectError> {
        let HeldObjects { registry, claim } = &self.objects;
        let known = claim.status()?.access();
        let object = || registry.path();
        let other_group = |(found, wanted)| ObjectError::OtherGroup { object: object(), found, wanted };
        let access = known.with(wanted).map_err(other_group)?;
        if access == known {
            return Ok(());
        }
        for chunk in (1..=self.table.last().0).map(Chunk) {
            let options = ClaimOptions::existing(Size::Exactly(chunk.bytes()));
            let claimed = registry.backend.claim(&registry.name(chunk), options, &|_| true);
            if_exists(claimed)?.map_or(Ok(()), |claim| claim.set_access(access))?;
        }
        // Last: a process that is killed before this is followed by one that does it all.
        claim.set_access(access)
    }

    fn remove_if_empty(&self) -> Result<(), ObjectError> {
        if self.table.count() > 0 { Ok(()) } else { self.remove() }
    }

    /// Unlinks a table, its first object last: while that has its name, no process makes a new one.
    fn remove(&self) -> Result<(), ObjectError> {
        self.table.end();
        for chunk in (1..=Chunk::MAX.0).map(Chunk) {
            // A process that was killed may have left one more, and so may a table that lost its
            // name. What can't be removed has taken the name of a chunk that is not needed any
            // more.
            if let Ok(false) = self.objects.remove(chunk)
                && chunk > self.table.last()
            {
                break;
            }
        }
        self.objects.claim.remove()
    }
}

impl Chunks<Words> for HeldObjects<'_> {
    fn open(&self, chunk: Chunk, instance: u64) -> Result<Option<Words>, ObjectError> {
        if_chunk(self.registry.backend.part(&self.registry.name(chunk), 0, chunk.bytes()), chunk, instance)
    }
}

impl ChunksMut<Words> for HeldObjects<'_> {
    fn create(&self, chunk: Chunk) -> Result<Words, ObjectError> {
        let (name, access) = (self.registry.name(chunk), self.claim.status()?.access());
        self.registry.backend.create_over_leftover(&name, chunk.bytes(), access)?;
        // Mapped as the other writers of this process find it mapped.
        self.registry.backend.part(&name, 0, chunk.bytes())
    }

    fn remove(&self, chunk: Chunk) -> Result<bool, ObjectError> {
        self.registry.backend.remove_leftover(&self.registry.name(chunk))
    }
}

/// The result of looking at a registry; `None` if there is none, or only one that is half made.
fn if_ready<T>(result: Result<T, ObjectError>) -> Result<Option<T>, ObjectError> {
    match result {
        Err(ObjectError::Unfinished { .. }) => Ok(None),
        result => if_exists(result),
    }
}

/// Notices changes of a namespace's channels: a channel came, went, or has a new writer.
///
/// Made by [`Namespace::watch_channels`](crate::Namespace::watch_channels).
#[derive(Debug)]
pub struct ChannelWatch {
    backend: Arc<dyn Backend>,
    namespace: String,
    table: Option<Table<ReadOnlyWords>>,
    /// When to check that the table still has its name.
    check: Arc<Timer>,
    /// The version at the last call, if there was a call; the inner `None` means that there was no
    /// table.
    seen: Option<Option<Version>>,
}

impl ChannelWatch {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> ChannelWatch {
        let check = Arc::new(Timer::new(CHECK_NAMES_AFTER));
        ChannelWatch { backend, namespace: namespace.into(), table: None, check, seen: None }
    }

    /// When to check that the table still has its name.
    pub(crate) fn check(&self) -> &Arc<Timer> {
        &self.check
    }

    /// Whether the channels have changed since the last call; `true` at the first one.
    ///
    /// Cost: two loads of one cache line and a read of the coarse clock while there is any channel;
    /// otherwise two system calls, which look up the registry. Four times a second it also checks,
    /// by a few system calls, that the registry still has its name: names that were removed by hand
    /// are a change, and so are the channels of workers that were started again.
    ///
    /// # Errors
    ///
    /// If the registry can't be opened.
    pub fn changed(&mut self) -> Result<bool, ObjectError> {
        let registry = Registry::of(&self.backend, &self.namespace);
        let is_due = self.check.is_due();
        let is_lost = |table: &ReadOnlyWords| {
            is_due && self.backend.is_named(&registry.object, table.object()).is_ok_and(|is_named| !is_named)
        };
        let has_ended = |table: &Table<ReadOnlyWords>| table.has_ended() || is_lost(table.head());
        if self.table.as_ref().is_none_or(has_ended) {
            self.table = registry.view()?.map(Table::new);
        }
        let now = self.table.as_ref().map(Table::version);
        let before = self.seen.replace(now);
        Ok(before != self.seen)
    }
}
