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
use crate::layout::registry::{self, waiters};
use crate::layout::{ObjectNames, WORD_BYTES};
use crate::memory::{Memory, ReadOnlyWords};
use crate::object::{Backend, Claim, ClaimOptions, Extent, ObjectError, if_exists};
use table::{Table, Version};

/// The first pages have memory from the start, the rest as far as there are entries.
const EXTENT: Extent = Extent { bytes: registry::BYTES, reserved: registry::RESERVED };

/// Maximum tries to register; each further one found a table that had ended.
const MAX_TRIES: usize = 100;

/// Enters a channel, or its new writer.
pub(crate) fn register(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    info: &ChannelInfo,
) -> Result<(), ObjectError> {
    let object = ObjectNames::registry(namespace);
    for _ in 0..MAX_TRIES {
        let claim = claim(backend, &object, ClaimOptions::create(EXTENT))?;
        let table = Table::new(claim.memory());
        if table.prepare(namespace, &object)? {
            let entered = table.change(|table| table.enter(info, |start, bytes| claim.reserve(start, bytes)));
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
    Err(ObjectError::Claimed { object })
}

/// Removes the entries of these instances of channels, and the table if it has no entry: its
/// creator, or the process that removed the last entry, may have been killed. Waits up to
/// `patience` for another process's change.
pub(crate) fn deregister(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    gone: &[(&str, u64)],
    patience: Duration,
) -> Result<(), ObjectError> {
    let object = ObjectNames::registry(namespace);
    let claimed = claim(backend, &object, ClaimOptions::existing(EXTENT).patience(patience));
    let Some(claim) = if_exists(claimed)? else { return Ok(()) };
    let table = Table::new(claim.memory());
    if !table.prepare(namespace, &object)? {
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

fn remove_if_empty(claim: &dyn Claim) -> Result<(), ObjectError> {
    let table = Table::new(claim.memory());
    if !table.is_empty() {
        return Ok(());
    }
    table.end();
    claim.remove()
}

/// Claims the table. Each process holds it only during a change, unless the process is stopped
/// there.
fn claim(
    backend: &Arc<dyn Backend>,
    object: &str,
    options: ClaimOptions,
) -> Result<Box<dyn Claim>, ObjectError> {
    let begin = Instant::now();
    loop {
        match backend.claim(object, options, &|_| true) {
            Err(ObjectError::Claimed { .. }) if begin.elapsed() < options.patience => thread::yield_now(),
            result => return result,
        }
    }
}

/// All registered channels. Takes no lock.
pub(crate) fn list(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Vec<ChannelInfo>, ObjectError> {
    match view(backend, namespace)? {
        Some(view) => Ok(Table::new(&view).list()),
        None => Ok(Vec::new()),
    }
}

/// The waiters' page of the namespace's table; `None` while there is no table.
pub(crate) fn waiters_page(
    backend: &Arc<dyn Backend>,
    namespace: &str,
) -> Result<Option<WaitersPage>, ObjectError> {
    let object = ObjectNames::registry(namespace);
    let (start, bytes) = (waiters::START * WORD_BYTES, waiters::WORDS * WORD_BYTES);
    match backend.part(&object, start, bytes) {
        Ok(words) => {
            let instance = words.load(waiters::INSTANCE);
            Ok((instance != 0).then_some(WaitersPage { instance, words }))
        }
        Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The table, read-only; `None` while there is none.
fn view(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Option<ReadOnlyWords>, ObjectError> {
    let object = ObjectNames::registry(namespace);
    let view = match backend.view_sparse(&object, EXTENT) {
        Ok(view) => view,
        Err(ObjectError::NotFound { .. } | ObjectError::Unfinished { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if view.len() * WORD_BYTES != registry::BYTES {
        return Err(ObjectError::Foreign { object, reason: "its size is not that of a registry".into() });
    }
    Table::new(&view).is_usable(namespace, &object).map(|usable| usable.then_some(view))
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
            self.table = view(&self.backend, &self.namespace)?;
        }
        let now = self.table.as_ref().map(|table| Table::new(table).version());
        let before = self.seen.replace(now);
        Ok(before != self.seen)
    }
}
