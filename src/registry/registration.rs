//! A writer's entry, for as long as its channel is there.

use super::{ChannelInfo, deregister, register};
use crate::channel::ChannelWriter;
use crate::object::{Backend, ForkToken, ObjectError, PATIENCE};
use std::sync::Arc;

/// Removes the entry of a channel when it is dropped, unless the channel stays.
pub(crate) struct Registration {
    backend: Arc<dyn Backend>,
    namespace: String,
    channel: String,
    instance: u64,
    owner: ForkToken,
    stays: bool,
}

impl Registration {
    /// Enters the channel.
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        namespace: &str,
        writer: &ChannelWriter,
    ) -> Result<Self, ObjectError> {
        let info = ChannelInfo::of(writer);
        register(&backend, namespace, &info)?;
        let (channel, instance, stays) = (info.name, info.instance, writer.options().linger);
        Ok(Registration {
            backend,
            namespace: namespace.into(),
            channel,
            instance,
            owner: ForkToken::take(),
            stays,
        })
    }

    /// The channel stays when its writer ends.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
    }

    /// The channel goes when its writer ends.
    pub(crate) fn let_go(&mut self) {
        self.stays = false;
    }

    /// Removes the entry, unless the channel stays. Done by `drop`, too; this way says what went wrong.
    pub(crate) fn end(&mut self) -> Result<(), ObjectError> {
        // The entry is the owner's, and not its forks'.
        if self.stays || !self.owner.is_ours() {
            return Ok(());
        }
        self.stays = true;
        deregister(&self.backend, &self.namespace, &[(&self.channel, self.instance)], PATIENCE)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
