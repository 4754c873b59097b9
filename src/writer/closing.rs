//! The end of a channel, as its writer chooses it.

use super::Writer;
use crate::channel::RemoveError;
impl<T: ?Sized, C> Writer<T, C> {
    /// Ends the channel: removes its names or, if it was built with `linger`, leaves the last state readable.
    ///
    /// Attached readers learn of it either way. In a fork of the process that opened the writer it does nothing.
    ///
    /// # Errors
    ///
    /// If a name can't be removed. The rest of the end has been done.
    pub fn close(mut self) -> Result<(), RemoveError> {
        self.end()
    }

    /// Ends the channel and leaves the last state readable, whatever it was built with.
    ///
    /// # Errors
    ///
    /// As [`Writer::close`].
    pub fn close_lingering(mut self) -> Result<(), RemoveError> {
        self.channel.set_linger(true);
        self.registration.keep();
        self.end()
    }

    /// Ends a channel on which this writer published nothing: the state of a former writer is left as it was found, and
    /// an empty channel is removed.
    pub(crate) fn abandon(mut self) {
        let has_state = self.channel.last() > 0;
        self.channel.set_linger(has_state);
        match has_state {
            true => self.registration.keep(),
            false => self.registration.let_go(),
        }
        // Whoever gives up has a worse error to tell.
        let _ = self.end();
    }

    fn end(&mut self) -> Result<(), RemoveError> {
        let result = self.channel.end().and_then(|()| self.registration.end());
        result.map_err(|source| RemoveError::Object { channel: self.channel().into(), source })
    }
}
