//! A writer's session: its channel, and the channel's entry in the registry for as long as the
//! channel exists.

use std::sync::Arc;
use std::time::Duration;

use super::{ChannelInfo, Registry};
use crate::channel::{
    self, ChannelName, ChannelWriter, Cleanup, CleanupOutcome, CreateError, RemoveError, Retention,
    WriterOptions, WriterState,
};
use crate::layout::ObjectNames;
use crate::object::{Backend, ForkToken, ObjectError};

/// A state that was published within this time is not removed.
const SPARE: Duration = Duration::from_secs(60);

/// The writer of a channel that is in the registry and wakes its waiters.
pub(crate) struct Session {
    pub(crate) channel: ChannelWriter,
    backend: Arc<dyn Backend>,
    namespace: String,
    owner: ForkToken,
    /// Whether the registry has the channel's entry.
    is_entered: bool,
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
        let (channel, namespace) = (channel::open(backend, name, options)?, name.namespace.clone());
        let (backend, owner) = (Arc::clone(backend), ForkToken::take());
        let mut session = Session { channel, backend, namespace, owner, is_entered: false };
        if let Err(source) = session.enter(options) {
            session.keep_published();
            return Err(CreateError::Object { channel: name.channel.clone(), source });
        }
        // Without the page, waiters poll, as they do for writers on systems that can't wake them.
        if let Ok(Some(page)) = Registry::of(&session.backend, &session.namespace).waiters_page() {
            session.channel.wake_waiters_of(page);
        }
        Ok(session)
    }

    /// Ends the channel as its options say, and removes its entry unless the channel stays. `drop`
    /// does the same, without a result.
    pub(crate) fn close(&mut self) -> Result<(), RemoveError> {
        self.channel.end()?;
        let left = self.leave();
        left.map_err(|source| RemoveError::Object { channel: self.channel.channel().into(), source })
    }

    /// [`Session::close`], whatever the options say: the last state stays readable.
    pub(crate) fn close_lingering(&mut self) -> Result<(), RemoveError> {
        self.channel.set_linger(true);
        self.close()
    }

    /// Ends a channel on which this writer published nothing: the state that a former writer left
    /// stays, an empty channel is removed.
    pub(crate) fn abandon(&mut self) -> Result<(), RemoveError> {
        self.keep_published();
        self.close()
    }

    fn keep_published(&mut self) {
        let has_state = self.channel.last() > 0;
        self.channel.set_linger(has_state);
    }

    fn enter(&mut self, options: &WriterOptions) -> Result<(), ObjectError> {
        let registry = Registry::of(&self.backend, &self.namespace);
        let channels = registry.register(&ChannelInfo::of(&self.channel), options.registry_access)?;
        self.is_entered = true;
        if channels > options.max_dead {
            self.remove_dead(&registry.some(self.channel.instance()));
        }
        Ok(())
    }

    /// Removes those of these channels whose writers have ended, unless they published lately.
    fn remove_dead(&self, suspects: &[ChannelInfo]) {
        let (backend, namespace) = (&self.backend, self.namespace.as_str());
        let (retention, spare, patience) = (Retention::Nothing, SPARE, Duration::ZERO);
        let cleanup = Cleanup { backend, namespace, retention, spare, patience };
        // The lock of each decides. Most live, and are not asked.
        let is_alive =
            |info: &ChannelInfo| matches!(info.writer_state(), WriterState::Alive | WriterState::Stopped);
        let suspects: Vec<_> = suspects.iter().filter(|info| !is_alive(info)).collect();
        if suspects.is_empty() {
            return;
        }
        let Ok(all) = backend.list(&ObjectNames::prefix(namespace)) else { return };
        let is_removed = |info: &&&ChannelInfo| {
            let names = ObjectNames::new(namespace, &info.name);
            let objects: Vec<_> =
                all.iter().filter(|object| object.starts_with(names.stem())).cloned().collect();
            if objects.is_empty() {
                // Only the entry is left.
                return info.writer_state() == WriterState::Dead;
            }
            let cleaned = cleanup.clean(&names, &objects, Some(info.identity));
            matches!(cleaned, Ok(CleanupOutcome::Removed(_)))
        };
        let gone: Vec<_> =
            suspects.iter().filter(is_removed).map(|info| (info.name.as_str(), info.instance)).collect();
        if !gone.is_empty() {
            // An entry that stays is removed by the next cleanup.
            let _ = Registry::of(backend, namespace).deregister(&gone);
        }
    }

    /// Removes the entry, unless the channel stays.
    fn leave(&mut self) -> Result<(), ObjectError> {
        // The entry belongs to the owner and not to its forks.
        if self.channel.options().linger || !self.is_entered || !self.owner.is_ours() {
            return Ok(());
        }
        self.is_entered = false;
        let entry = (self.channel.channel(), self.channel.instance());
        Registry::of(&self.backend, &self.namespace).deregister(&[entry])
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // In this order: the entry is removed after the channel.
        let _ = self.channel.end();
        let _ = self.leave();
    }
}
