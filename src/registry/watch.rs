//! Noticing that channels come and go.

use crate::memory::ReadOnlyWords;
use std::fmt;
use std::sync::Arc;

use super::table::{Table, Version};
use super::view;
use crate::object::{Backend, ObjectError};

/// Notices that a namespace's channels have changed: that one came, went, or has a new writer.
///
/// Made by [`Namespace::watch_channels`](crate::Namespace::watch_channels).
pub struct ChannelWatch {
    backend: Arc<dyn Backend>,
    namespace: String,
    table: Option<ReadOnlyWords>,
    /// What was seen last, if anything: the version of the table, if there was one.
    seen: Option<Option<Version>>,
}

impl ChannelWatch {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> ChannelWatch {
        ChannelWatch { backend, namespace: namespace.into(), table: None, seen: None }
    }

    /// Whether the channels have changed since the last call; `true` at the first one.
    ///
    /// Cost: two loads of one cache line, while there is any channel; else a look for the registry, a system call.
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

impl fmt::Debug for ChannelWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChannelWatch").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
