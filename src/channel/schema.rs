//! A channel's schema: bytes that describe its states, in a small object of their own.
//!
//! The bytes are opaque here. They are written once, before the channel is declared ready, and
//! never change: another schema makes another channel. So the object has a name without
//! generations, and needs no protocol but its ready word. The control page records length and
//! fingerprint; a schema that does not match them is refused.

use std::time::Instant;

use super::options::{SchemaBytes, SchemaMark};
use super::segments::{Segments, checksum_of_schema};
use super::{AttachError, ChannelReader};
use crate::layout::{self, Kind, WORD_BYTES, schema};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Access, Backoff, ObjectError};
use crate::seqlock::ready::{self, Readiness};

/// Why a schema can't be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is missing, or not whole: it is being written or removed, or its name was removed by
    /// hand.
    Vanished(ObjectError),
    /// It does not match the control page.
    Corrupt(String),
    /// The system did not let it be opened.
    Failed(ObjectError),
}

impl From<ObjectError> for Unreadable {
    fn from(error: ObjectError) -> Unreadable {
        match error {
            ObjectError::NotFound { .. } | ObjectError::Unfinished { .. } => Unreadable::Vanished(error),
            error => Unreadable::Failed(error),
        }
    }
}

impl Segments {
    pub(super) fn schema_name(&self) -> String {
        self.names.object(Kind::Schema)
    }

    /// Creates the schema's object, in place of a leftover if need be. Only for the holder of the
    /// channel's claim.
    pub(super) fn create_schema(&self, schema: &SchemaBytes, access: Access) -> Result<Words, ObjectError> {
        let content = schema.bytes();
        let bytes = schema::object_bytes(content.len());
        let memory = self.object_over_leftover(&self.schema_name(), bytes, access)?;
        memory.store(schema::INSTANCE, self.instance);
        memory.store(schema::LENGTH, content.len() as u64);
        memory.store(schema::CHECKSUM, checksum_of_schema(content));
        memory.write(schema::CONTENT, content);
        ready::declare(&memory);
        Ok(memory)
    }

    /// Copies the schema that the control page records.
    pub(super) fn read_schema(&self, mark: SchemaMark) -> Result<Vec<u8>, Unreadable> {
        let memory = self.backend.view(&self.schema_name())?;
        self.check_schema(&memory, mark)
    }

    /// Opens the schema of a dead writer's channel, so that it can be unlinked with the channel.
    pub(super) fn reopen_schema(&self, mark: SchemaMark) -> Result<Words, Unreadable> {
        let memory = self.backend.reopen(&self.schema_name())?;
        self.check_schema(&memory, mark)?;
        Ok(memory)
    }

    /// The bytes, if the object is whole, of this instance, and matches the page. None of its words
    /// is trusted.
    fn check_schema(&self, memory: &impl Memory, mark: SchemaMark) -> Result<Vec<u8>, Unreadable> {
        let corrupt = |reason: String| Err(Unreadable::Corrupt(reason));
        match ready::check(memory) {
            Readiness::Ready => {}
            Readiness::NotReady => return Err(ObjectError::Unfinished { object: self.schema_name() }.into()),
            Readiness::OtherVersion(_) | Readiness::Foreign(_) => {
                return corrupt("it has no header of this version".into());
            }
        }
        if memory.load(schema::INSTANCE) != self.instance {
            // The channel was re-created: the object belongs to another instance.
            return Err(ObjectError::NotFound { object: self.schema_name() }.into());
        }
        let (len, recorded) = (memory.load(schema::LENGTH), mark.bytes);
        if len != recorded {
            return corrupt(format!("it has {len} bytes, the control page says {recorded}"));
        }
        let room = schema::MAX_BYTES.min((memory.len() - schema::CONTENT) * WORD_BYTES);
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= room) else {
            return corrupt(format!("it has no room for {len} bytes"));
        };
        let mut content = vec![0; len];
        memory.read(schema::CONTENT, &mut content);
        if checksum_of_schema(&content) != memory.load(schema::CHECKSUM) {
            return corrupt("its checksum does not match".into());
        }
        if layout::fingerprint(&content) != mark.fingerprint {
            return corrupt("its fingerprint is not that of the control page".into());
        }
        Ok(content)
    }
}

/// Result of reading a channel's schema: see
/// [`Inspection::schema`](crate::inspect::Inspection::schema).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaInspection {
    /// The channel carries no schema.
    None,
    /// It is as its writer wrote it.
    Whole,
    /// The object is missing: its name was removed by hand, or the channel was removed in the
    /// meantime.
    Missing,
    /// Its object does not match the control page.
    Corrupt {
        /// What is wrong with the object.
        reason: String,
    },
    /// Its object can't be opened.
    Unreadable {
        /// Why the object can't be opened.
        reason: String,
    },
}

impl ChannelReader {
    /// Reads the schema once, without waiting.
    pub(crate) fn inspect_schema(&self) -> SchemaInspection {
        let mark = self.page().schema();
        if !mark.is_some() {
            return SchemaInspection::None;
        }
        match self.segments.read_schema(mark) {
            Ok(_) => SchemaInspection::Whole,
            Err(Unreadable::Vanished(ObjectError::NotFound { .. })) => SchemaInspection::Missing,
            // It was whole before the page was declared ready.
            Err(Unreadable::Vanished(_)) => SchemaInspection::Corrupt { reason: "it is not whole".into() },
            Err(Unreadable::Corrupt(reason) | Unreadable::Failed(ObjectError::Foreign { reason, .. })) => {
                SchemaInspection::Corrupt { reason }
            }
            Err(Unreadable::Failed(error)) => SchemaInspection::Unreadable { reason: error.to_string() },
        }
    }

    /// The channel's schema; `None` if it carries none. Maps the object, copies it, and unmaps it.
    /// Retries until the deadline of the retry policy while the object is missing or not whole.
    pub(crate) fn schema_bytes(&self) -> Result<Option<Vec<u8>>, AttachError> {
        let mark = self.page().schema();
        if !mark.is_some() {
            return Ok(None);
        }
        let begin = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let unreadable = match self.segments.read_schema(mark) {
                Ok(content) => return Ok(Some(content)),
                Err(unreadable) => unreadable,
            };
            let channel = self.channel().to_owned();
            // A process that removes the channel marks it as removed before it unlinks the object.
            // An object of that name is then not the channel's.
            if self.is_removed() {
                return Err(AttachError::Removed { channel });
            }
            match unreadable {
                Unreadable::Vanished(_) if begin.elapsed() < self.retry.deadline => backoff.wait(),
                Unreadable::Vanished(source) | Unreadable::Failed(source) => {
                    return Err(AttachError::Object { channel, source });
                }
                Unreadable::Corrupt(reason) => {
                    let object = self.segments.schema_name();
                    return Err(AttachError::SchemaCorrupt { channel, object, reason });
                }
            }
        }
    }
}
