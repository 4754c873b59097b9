//! The end of a channel, as its writer chooses it.

use super::Writer;
use crate::channel::RemoveError;
use crate::object::ObjectError;

impl<T: ?Sized, C> Writer<T, C> {
    /// Ends the channel: removes its names or, if it was built with `linger`, leaves the last state
    /// readable.
    ///
    /// Attached readers learn of it either way. In a fork of the process that opened the writer it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// If a name can't be removed. The rest of the end has been done.
    pub fn close(mut self) -> Result<(), RemoveError> {
        let ended = self.session.close();
        self.ended(ended)
    }

    /// Ends the channel and leaves the last state readable, whatever it was built with.
    ///
    /// # Errors
    ///
    /// As [`Writer::close`].
    pub fn close_lingering(mut self) -> Result<(), RemoveError> {
        let ended = self.session.close_lingering();
        self.ended(ended)
    }

    /// Ends a channel on which this writer published nothing: the state that a former writer left
    /// stays, an empty channel is removed.
    pub(crate) fn abandon(mut self) {
        // Called on an error path: the original error matters more.
        let _ = self.session.abandon();
    }

    fn ended(&self, result: Result<(), ObjectError>) -> Result<(), RemoveError> {
        result.map_err(|source| RemoveError::Object { channel: self.channel().into(), source })
    }
}
