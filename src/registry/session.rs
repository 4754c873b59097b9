//! A writer's session: its channel, and the channel's entry in the registry for as long as the
//! channel exists.

use std::sync::Arc;

use super::{ChannelInfo, deregister, register, waiters_page};
use crate::channel::{self, ChannelName, ChannelWriter, CreateError, RemoveError, WriterOptions};
use crate::object::{Access, Backend, ForkToken, ObjectError, PATIENCE};

/// The writer of a channel that is in the registry and wakes its waiters.
pub(crate) struct Session {
    // Dropped in this order: the entry is removed after the channel.
    pub(crate) channel: ChannelWriter,
    registration: Registration,
}

impl Session {
    /// Opens the channel for writing, enters it in the registry, and makes it wake waiters.
    ///
    /// If an error is returned, the state that a former writer left is as it was.
    pub(crate) fn open(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &WriterOptions,
    ) -> Result<Session, CreateError> {
        let mut channel = channel::open(backend, name, options)?;
        match Registration::enter(backend, &name.namespace, &channel, options.registry_access) {
            Ok(registration) => {
                // Without the page, waiters poll, as they do for writers on systems that can't wake
                // them.
                if let Ok(Some(page)) = waiters_page(backend, &name.namespace) {
                    channel.wake_waiters_of(page);
                }
                Ok(Session { channel, registration })
            }
            Err(source) => {
                let has_state = channel.last() > 0;
                channel.set_linger(has_state);
                Err(CreateError::Object { channel: name.channel.clone(), source })
            }
        }
    }

    /// Ends the channel as its options say, and removes its entry unless the channel stays. `drop`
    /// does the same, without a result.
    pub(crate) fn close(&mut self) -> Result<(), RemoveError> {
        self.channel.end()?;
        let removed = self.registration.end(self.channel.options().linger);
        removed.map_err(|source| RemoveError::Object { channel: self.channel.channel().into(), source })
    }

    /// [`Session::close`], whatever the options say: the last state stays readable.
    pub(crate) fn close_lingering(&mut self) -> Result<(), RemoveError> {
        self.channel.set_linger(true);
        self.close()
    }

    /// Ends a channel on which this writer published nothing: the state that a former writer left
    /// stays, an empty channel is removed.
    pub(crate) fn abandon(&mut self) -> Result<(), RemoveError> {
        let has_state = self.channel.last() > 0;
        self.channel.set_linger(has_state);
        self.close()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.channel.end();
        let _ = self.registration.end(self.channel.options().linger);
    }
}

/// The entry of a channel in the registry.
struct Registration {
    backend: Arc<dyn Backend>,
    namespace: String,
    channel: String,
    instance: u64,
    owner: ForkToken,
    has_ended: bool,
}

impl Registration {
    fn enter(
        backend: &Arc<dyn Backend>,
        namespace: &str,
        writer: &ChannelWriter,
        access: Access,
    ) -> Result<Registration, ObjectError> {
        let info = ChannelInfo::of(writer);
        register(backend, namespace, &info, access)?;
        Ok(Registration {
            backend: Arc::clone(backend),
            namespace: namespace.into(),
            channel: info.name,
            instance: info.instance,
            owner: ForkToken::take(),
            has_ended: false,
        })
    }

    /// Removes the entry, unless the channel stays.
    fn end(&mut self, stays: bool) -> Result<(), ObjectError> {
        // The entry belongs to the owner and not to its forks.
        if stays || self.has_ended || !self.owner.is_ours() {
            return Ok(());
        }
        self.has_ended = true;
        deregister(&self.backend, &self.namespace, &[(&self.channel, self.instance)], PATIENCE)
    }
}
