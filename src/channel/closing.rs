//! The end of a channel, by its own writer.

use super::ChannelWriter;
use crate::layout::{Side, control};
use crate::object::ObjectError;
use crate::seqlock::ChannelState;

impl ChannelWriter {
    /// Ends the channel as the options say. Done by `drop`, too; this way says what went wrong.
    pub(crate) fn end(&mut self) -> Result<(), ObjectError> {
        // A fork of the owner shares its memory and its lock, and must not end what the owner still uses.
        if self.has_ended || !self.owner.is_ours() {
            return Ok(());
        }
        let page = self.writer.control();
        let state = if self.options.linger { ChannelState::Lingering } else { ChannelState::Removed };
        state.store(page);
        if let Some(waker) = &self.waker {
            waker.wake(page.0.memory(), control::PUBLISHED);
        }
        if self.options.linger {
            self.has_ended = true;
            return Ok(());
        }
        let mut failures = Vec::new();
        for side in Side::BOTH {
            let name = self.segments.name(side, self.writer.generation(side));
            failures.extend(self.segments.backend.remove(&name, self.writer.ring(side).memory()).err());
        }
        if let Some(schema) = &self.schema {
            let name = self.segments.schema_name();
            failures.extend(self.segments.backend.remove(&name, schema).err());
        }
        if !self.unremoved.is_empty() && self.is_named() {
            let left = self.unremoved.iter().map(|name| self.segments.backend.remove_leftover(name));
            failures.extend(left.filter_map(Result::err));
        }
        failures.extend(page.0.remove().err());
        self.has_ended = failures.is_empty();
        failures.into_iter().next().map_or(Ok(()), Err)
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
