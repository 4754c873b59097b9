//! A channel's schema: bytes that describe its states, behind the control page.
//!
//! The bytes are opaque here. They are written once, before the channel is declared ready, and
//! never change: another schema makes another channel. The control page records length and
//! fingerprint; a schema that does not match them is refused.

use super::control_page::ControlPage;
use super::{AttachError, ChannelReader};
use crate::layout::{self, Kind, WORD_BYTES, control};
use crate::memory::{Memory, MemoryMut};

/// Result of reading a channel's schema: see
/// [`Inspection::schema`](crate::inspect::Inspection::schema).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaInspection {
    /// The channel carries no schema.
    None,
    /// It is as its writer wrote it.
    Whole,
    /// It does not match the control page.
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
}

impl<M: Memory> ControlPage<M> {
    /// A copy of the schema, if the channel carries one and it matches the page. None of its bytes
    /// is trusted.
    pub(super) fn schema_bytes(&self) -> Result<Option<Vec<u8>>, String> {
        let mark = self.schema();
        if !mark.is_some() {
            return Ok(None);
        }
        let end = self.first().map_or(self.memory().len(), |first| first.start);
        let room = control::MAX_SCHEMA_BYTES.min((end - control::SCHEMA) * WORD_BYTES);
        let len = usize::try_from(mark.bytes).ok().filter(|len| *len <= room);
        let len = len.ok_or_else(|| format!("there is no room for {} bytes", mark.bytes))?;
        let mut content = vec![0; len];
        self.memory().read(control::SCHEMA, &mut content);
        match layout::fingerprint(&content) == mark.fingerprint {
            true => Ok(Some(content)),
            false => Err("its fingerprint is not that of the control page".into()),
        }
    }
}

impl<M: MemoryMut> ControlPage<M> {
    /// Writes the schema that the page records.
    pub(super) fn write_schema(&self, content: &[u8]) {
        self.memory().write(control::SCHEMA, content);
    }
}

impl ChannelReader {
    pub(crate) fn inspect_schema(&self) -> SchemaInspection {
        match self.page().schema_bytes() {
            Ok(None) => SchemaInspection::None,
            Ok(Some(_)) => SchemaInspection::Whole,
            Err(reason) => SchemaInspection::Corrupt { reason },
        }
    }

    /// The channel's schema; `None` if it carries none.
    pub(crate) fn schema_bytes(&self) -> Result<Option<Vec<u8>>, AttachError> {
        self.page().schema_bytes().map_err(|reason| {
            let page = self.segments.names.object(Kind::Control);
            let (channel, object) = (self.channel().to_owned(), self.segments.backend.path(&page));
            AttachError::SchemaCorrupt { channel, object, reason }
        })
    }
}
