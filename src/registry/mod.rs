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
use std::time::Instant;

use crate::channel::WaitersPage;
use crate::layout::registry::{self, waiters};
use crate::layout::{ObjectNames, WORD_BYTES};
use crate::memory::{Memory, ReadOnlyWords};
use crate::object::{Backend, Claim, ClaimOptions, Extent, ObjectError, if_exists};
use table::{Table, Version};

/// The first pages have memory from the start, the rest as far as there are entries.
const EXTENT: Extent = Extent { bytes: registry::BYTES, reserved: registry::RESERVED };

/// Maximum tries to register; each further one found a table that had ended.
const MAX_TRIES: usize = 100;

/// The registry of a namespace.
pub(crate) struct Registry<'a> {
    backend: &'a Arc<dyn Backend>,
    namespace: &'a str,
    object: String,
}

impl<'a> Registry<'a> {
    pub(crate) fn of(backend: &'a Arc<dyn Backend>, namespace: &'a str) -> Registry<'a> {
        Registry { backend, namespace, object: ObjectNames::registry(namespace) }
    }

    /// Enters a channel, or its new writer.
    pub(crate) fn register(&self, info: &ChannelInfo) -> Result<(), ObjectError> {
        for _ in 0..MAX_TRIES {
            let claim = self.claim(ClaimOptions::create(EXTENT))?;
            let table = Table::new(claim.memory());
            if table.prepare(self.namespace, &self.object)? {
                let reserve = |start, bytes| claim.reserve(start, bytes);
                let entered = table.change(|table| table.enter(info, reserve));
                table.wake_waiters();
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

    /// Removes the entries of these instances of channels, and the table if it has no entry: its
    /// creator, or the process that removed the last entry, may have been killed.
    pub(crate) fn deregister(&self, gone: &[(&str, u64)]) -> Result<(), ObjectError> {
        let claimed = if_exists(self.claim(ClaimOptions::existing(EXTENT)))?;
        let Some(claim) = claimed else { return Ok(()) };
        let table = Table::new(claim.memory());
        if !table.prepare(self.namespace, &self.object)? {
            return claim.remove();
        }
        if !gone.is_empty() {
            table.change(|table| {
                table.strike(gone);
                Ok(())
            })?;
            table.wake_waiters();
        }
        remove_if_empty(claim.as_ref())
    }

    /// Claims the table. Each process holds it only during a change, unless the process is stopped
    /// there: waits for that process as long as the options say.
    fn claim(&self, options: ClaimOptions) -> Result<Box<dyn Claim>, ObjectError> {
        let begin = Instant::now();
        loop {
            match self.backend.claim(&self.object, options, &|_| true) {
                Err(ObjectError::Claimed { .. }) if begin.elapsed() < options.patience => thread::yield_now(),
                result => return result,
            }
        }
    }

    /// All registered channels. Takes no lock.
    pub(crate) fn list(&self) -> Result<Vec<ChannelInfo>, ObjectError> {
        Ok(self.view()?.map_or_else(Vec::new, |view| Table::new(&view).list()))
    }

    /// The waiters' page of the table; `None` while there is no table.
    pub(crate) fn waiters_page(&self) -> Result<Option<WaitersPage>, ObjectError> {
        let (start, bytes) = (waiters::START * WORD_BYTES, waiters::WORDS * WORD_BYTES);
        match self.backend.part(&self.object, start, bytes) {
            Ok(words) => {
                let instance = words.load(waiters::INSTANCE);
                Ok((instance != 0).then_some(WaitersPage { instance, words }))
            }
            Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table, read-only; `None` while there is none.
    fn view(&self) -> Result<Option<ReadOnlyWords>, ObjectError> {
        let view = match self.backend.view_sparse(&self.object, EXTENT) {
            Ok(view) => view,
            Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if view.len() * WORD_BYTES != registry::BYTES {
            let (object, reason) = (self.object.clone(), "its size is not that of a registry".into());
            return Err(ObjectError::Foreign { object, reason });
        }
        let is_usable = Table::new(&view).is_usable(self.namespace, &self.object)?;
        Ok(is_usable.then_some(view))
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
    /// The version at the last call, if there was a call; the inner `None` means that there was no
    /// table.
    seen: Option<Option<Version>>,
}

impl ChannelWatch {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> ChannelWatch {
        ChannelWatch { backend, namespace: namespace.into(), table: None, seen: None }
    }

    /// Whether the channels have changed since the last call; `true` at the first one.
    ///
    /// Cost: two loads of one cache line while there is any channel; otherwise one system call,
    /// which looks up the registry.
    ///
    /// # Errors
    ///
    /// If the registry can't be opened.
    pub fn changed(&mut self) -> Result<bool, ObjectError> {
        if self.table.as_ref().is_none_or(|table| Table::new(table).has_ended()) {
            self.table = Registry::of(&self.backend, &self.namespace).view()?;
        }
        let now = self.table.as_ref().map(|table| Table::new(table).version());
        let before = self.seen.replace(now);
        Ok(before != self.seen)
    }
}
