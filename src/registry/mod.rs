//! The directory of a namespace's channels, for processes that don't know the names in advance.
//!
//! Listing takes no lock: every entry is a pair of slots of the same protocol as the payload's,
//! validated by the same code. A process changes the table under the kernel's lock on its object. A
//! change that is cut short by a kill leaves either the old or the new table, and the next change
//! counts it.
//!
//! The table is an index; a channel's control page is the truth. A channel can be read without
//! being in the table, and cleanup removes an entry whose channel is gone. The object exists as
//! long as there is an entry.

mod session;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use session::Session;
pub use table::ChannelInfo;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::channel::WaitersPage;
use crate::clock::Timer;
use crate::layout::registry::{self, waiters};
use crate::layout::{ObjectNames, PAGE_BYTES, WORD_BYTES};
use crate::memory::{Memory, ObjectId, ReadOnlyWords};
use crate::object::{Access, Backend, Claim, ClaimOptions, ObjectError, Size, if_exists};
use crate::seqlock::ready::{self, Readiness};
use table::{Table, Version};

/// It begins small, and grows.
const SIZE: Size = Size { bytes: registry::MIN_BYTES, max: registry::MAX_BYTES };

/// How long a process uses a table before it checks that the table still has its name: a cleanup by
/// hand removes names, and the table can't say so.
const CHECK_NAMES_AFTER: Duration = Duration::from_millis(250);

/// How many channels a new one looks at, to remove those of dead writers.
const LOOKED_AT: usize = 16;

/// Maximum tries to register; each further one found a table that had ended.
const MAX_TRIES: usize = 100;

/// The object of a table that has a new entry, and the number of its entries.
type Entered = (ObjectId, usize);

/// The registry of a namespace.
pub(crate) struct Registry<'a> {
    backend: &'a Arc<dyn Backend>,
    namespace: &'a str,
    object: String,
    /// How long to wait for a process that changes the table.
    patience: Duration,
}

impl<'a> Registry<'a> {
    pub(crate) fn of(backend: &'a Arc<dyn Backend>, namespace: &'a str) -> Registry<'a> {
        let (object, patience) = (ObjectNames::registry(namespace), ClaimOptions::create(SIZE).patience);
        Registry { backend, namespace, object, patience }
    }

    /// Enters a channel, or its new writer. `access` becomes a part of the registry's.
    pub(crate) fn register(&self, info: &ChannelInfo, access: Access) -> Result<Entered, ObjectError> {
        for _ in 0..MAX_TRIES {
            let mut claim = self.claim(ClaimOptions::create(SIZE))?;
            if Table::new(claim.memory()).prepare(self.namespace, &self.object)? {
                let entered = self.admit(claim.as_ref(), access).and_then(|()| {
                    let place = self.make_room(claim.as_mut(), &info.name)?;
                    let table = Table::new(claim.memory());
                    table.change(|table| table.enter(place, info));
                    Ok((claim.memory().object(), table.count()))
                });
                Table::new(claim.memory()).wake_waiters();
                if entered.is_err() {
                    // The table may have been made only for this entry. The original error matters
                    // more.
                    let _ = remove_if_empty(claim.as_ref());
                }
                return entered;
            }
            claim.remove()?;
        }
        Err(ObjectError::Claimed { object: self.object.clone() })
    }

    /// Lets the registry also admit the users that `wanted` admits. It admits the users of all
    /// writers since it was created.
    fn admit(&self, claim: &dyn Claim, wanted: Access) -> Result<(), ObjectError> {
        let known = claim.status()?.access();
        let object = || self.object.clone();
        let other_group = |(found, wanted)| ObjectError::OtherGroup { object: object(), found, wanted };
        match known.with(wanted).map_err(other_group)? {
            access if access == known => Ok(()),
            access => claim.set_access(access),
        }
    }

    /// The place of a channel's entry. The object grows if there is none: by half, so that few
    /// channels make it grow.
    fn make_room(&self, claim: &mut dyn Claim, channel: &str) -> Result<usize, ObjectError> {
        let table = Table::new(claim.memory());
        let (place, room) = (table.place(channel), table.room());
        if place >= registry::MAX {
            return Err(ObjectError::Full { object: self.object.clone(), channels: registry::MAX });
        }
        if place >= room {
            claim.grow(registry::bytes((room + room / 2).min(registry::MAX).max(place + 1)))?;
        }
        Ok(place)
    }

    /// Removes the entries of these instances of channels, and the table if it has no entry: its
    /// creator, or the process that removed the last entry, may have been killed.
    pub(crate) fn deregister(&self, gone: &[(&str, u64)]) -> Result<(), ObjectError> {
        let claimed = if_exists(self.claim(ClaimOptions::existing(SIZE)))?;
        let Some(claim) = claimed else { return Ok(()) };
        let table = Table::new(claim.memory());
        if !table.prepare(self.namespace, &self.object)? {
            return claim.remove();
        }
        if !gone.is_empty() {
            table.change(|table| table.strike(gone));
            table.wake_waiters();
        }
        remove_if_empty(claim.as_ref())
    }

    /// Removes `object`, the registry of another version of the layout, unless `is_used` says, once
    /// no process can change it, that the namespace has a channel of that version. Returns whether
    /// it was removed.
    pub(crate) fn remove_other(
        &self,
        object: &str,
        is_used: impl FnOnce() -> Result<bool, ObjectError>,
    ) -> Result<bool, ObjectError> {
        let Some(size) = if_exists(self.backend.size(object))? else { return Ok(false) };
        // Its table may have no memory behind its last entry, and is not read.
        let size = Size { bytes: PAGE_BYTES, max: usize::try_from(size.bytes).unwrap_or(usize::MAX) };
        let claim = match self.backend.claim(object, ClaimOptions::existing(size), &|_| false) {
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
    /// there: waits for that process as long as its patience lasts.
    fn claim(&self, options: ClaimOptions) -> Result<Box<dyn Claim>, ObjectError> {
        let (begin, options) = (Instant::now(), ClaimOptions { patience: self.patience, ..options });
        loop {
            match self.backend.claim(&self.object, options, &|_| true) {
                Err(ObjectError::Claimed { .. }) if begin.elapsed() < options.patience => thread::yield_now(),
                result => return result,
            }
        }
    }

    /// All registered channels. Takes no lock.
    pub(crate) fn list(&self) -> Result<Vec<ChannelInfo>, ObjectError> {
        let mut known = 0;
        loop {
            let Some(view) = self.view()? else { return Ok(Vec::new()) };
            if let Some(listed) = Table::new(&view).list(view.len() <= known) {
                return Ok(listed);
            }
            known = view.len();
        }
    }

    /// A few of the channels, others for each `random` number.
    pub(crate) fn some(&self, random: u64) -> Vec<ChannelInfo> {
        let view = self.view().ok().flatten();
        view.map_or_else(Vec::new, |view| Table::new(&view).some(random, LOOKED_AT))
    }

    /// The waiters' page of the table; `None` while there is no table.
    pub(crate) fn waiters_page(&self) -> Result<Option<WaitersPage>, ObjectError> {
        let (start, bytes) = (waiters::START * WORD_BYTES, waiters::WORDS * WORD_BYTES);
        let words = if_ready(self.backend.part(&self.object, start, bytes))?;
        let page = words.map(|words| WaitersPage { instance: words.load(waiters::INSTANCE), words });
        Ok(page.filter(|page| page.instance != 0))
    }

    /// Whether the registry's name no longer means this table's object; `None` if it can't be
    /// looked up.
    fn has_lost(&self, table: ObjectId) -> Option<bool> {
        self.backend.is_named(&self.object, table).ok().map(|is_named| !is_named)
    }

    /// The table, read-only; `None` while there is none.
    fn view(&self) -> Result<Option<ReadOnlyWords>, ObjectError> {
        let Some(view) = if_ready(self.backend.view(&self.object))? else { return Ok(None) };
        if view.len() * WORD_BYTES < registry::MIN_BYTES {
            let (object, reason) = (self.object.clone(), "its size is not that of a registry".into());
            return Err(ObjectError::Foreign { object, reason });
        }
        let is_usable = Table::new(&view).is_usable(self.namespace, &self.object)?;
        Ok(is_usable.then_some(view))
    }
}

/// The result of looking at a registry; `None` if there is none, or only one that is half made.
fn if_ready<T>(result: Result<T, ObjectError>) -> Result<Option<T>, ObjectError> {
    match result {
        Err(ObjectError::Unfinished { .. }) => Ok(None),
        result => if_exists(result),
    }
}

fn remove_if_empty(claim: &dyn Claim) -> Result<(), ObjectError> {
    let table = Table::new(claim.memory());
    if !table.is_empty() {
        return Ok(());
    }
    table.end();
    claim.remove()
}

/// Notices changes of a namespace's channels: a channel came, went, or has a new writer.
///
/// Made by [`Namespace::watch_channels`](crate::Namespace::watch_channels).
#[derive(Debug)]
pub struct ChannelWatch {
    backend: Arc<dyn Backend>,
    namespace: String,
    table: Option<ReadOnlyWords>,
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
        let is_lost = |table: &ReadOnlyWords| is_due && registry.has_lost(table.object()) == Some(true);
        if self.table.as_ref().is_none_or(|table| Table::new(table).has_ended() || is_lost(table)) {
            self.table = registry.view()?;
        }
        let now = self.table.as_ref().map(|table| Table::new(table).version());
        let before = self.seen.replace(now);
        Ok(before != self.seen)
    }
}
