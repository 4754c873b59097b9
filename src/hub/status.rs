//! How a worker is.

use std::fmt;

use super::{Hub, QueryError};
use crate::channel::{ChannelReader, writer_state};
use crate::health::{Health, Signs};

/// How often a status is read again because a new writer has taken the channel over during the read.
const MAX_LOOKS: u32 = 8;

/// The health of a worker, and which writer and publication it is about. Made by [`Hub::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How the worker is.
    pub health: Health,
    /// Number of its last publication, 0 before the first.
    pub publication: u64,
    /// Process id of the current or last writer, in its own PID namespace.
    pub writer_pid: u64,
    /// Number of writers that the channel has had, one after the other.
    pub incarnation: u64,
}

impl<C> Hub<C> {
    /// How the worker is that writes `channel`. *Dead* is never a guess: see
    /// [`Reader::writer_state`](crate::Reader::writer_state). *Stalled* is one, by the clock, unless
    /// the process is stopped.
    ///
    /// Cost: some system calls, microseconds.
    ///
    /// # Errors
    ///
    /// [`QueryError::Attach`] if there is no such channel, [`QueryError::Writer`] if the system does
    /// not let this process look at the writer's lock.
    pub fn status(&self, channel: &str) -> Result<Status, QueryError> {
        let mut reader = self.shared.reader_or_removed(channel)?;
        let mut status = None;
        for _ in 0..MAX_LOOKS {
            let incarnation = reader.page().incarnation();
            let found = self.look(&mut reader, incarnation)?;
            status = Some(found);
            // Otherwise a new writer has taken the channel over, and the status mixes both writers.
            if reader.page().incarnation() == incarnation {
                break;
            }
        }
        self.shared.keep(&reader, None);
        status.map_or_else(|| Err(reader.closed().into()), Ok)
    }

    fn look(&self, reader: &mut ChannelReader, incarnation: u64) -> Result<Status, QueryError> {
        let channel = reader.channel().to_owned();
        let state = writer_state(reader).map_err(|source| QueryError::Writer { channel, source })?;
        let signs = Signs::of(reader, state);
        Ok(Status {
            health: Health::judge(&signs, self.shared.thresholds),
            publication: signs.publication,
            writer_pid: reader.page().owner().pid,
            incarnation,
        })
    }
}

impl fmt::Display for Status {
    /// Health, publication and writer: `fresh, published 2.0ms ago; publication 7, process 12 (writer 1)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { health, publication, writer_pid, incarnation } = self;
        write!(formatter, "{health}; publication {publication}, process {writer_pid} (writer {incarnation})")
    }
}

#[cfg(any(feature = "postcard", feature = "message-pack"))]
impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Status", 4)?;
        fields.serialize_field("health", &self.health)?;
        fields.serialize_field("publication", &self.publication)?;
        fields.serialize_field("writer_pid", &self.writer_pid)?;
        fields.serialize_field("incarnation", &self.incarnation)?;
        fields.end()
    }
}
