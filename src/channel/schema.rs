//! A channel's schema: bytes that tell how its states are made up, in a small object of their own.
//!
//! They are opaque here. They are written once, before the channel is declared ready, and never changed: another
//! schema makes another channel. So the object has a name without generations, and needs no protocol but its ready
//! word. The control page says how long it is, and its fingerprint; what does not agree with that is not believed.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::backoff::Backoff;
use super::segments::Segments;
use super::{AttachError, ChannelReader};
use crate::checksum;
use crate::layout::{self, Kind, WORD_BYTES, control, schema};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Mode, ObjectError};
use crate::seqlock::ready::{self, Readiness};

/// A schema, never empty.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SchemaBytes(Arc<[u8]>);

impl SchemaBytes {
    /// `None` for no bytes: that is no schema.
    #[cfg(any(test, fuzzing, feature = "schema"))]
    pub(crate) fn new(bytes: &[u8]) -> Option<SchemaBytes> {
        (!bytes.is_empty()).then(|| SchemaBytes(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SchemaBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

/// What the control page says about a channel's schema. Two of the same length and fingerprint are taken for the
/// same, as codecs and schemas are by theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaMark {
    /// Its length; 0 if there is none.
    pub(crate) bytes: u64,
    pub(crate) fingerprint: u64,
}

impl SchemaMark {
    pub(super) fn of(schema: Option<&SchemaBytes>) -> SchemaMark {
        schema.map_or_else(SchemaMark::default, |SchemaBytes(bytes)| SchemaMark {
            bytes: bytes.len() as u64,
            fingerprint: layout::fingerprint(bytes),
        })
    }

    pub(crate) fn read(page: &impl Memory) -> SchemaMark {
        SchemaMark {
            bytes: page.load(control::SCHEMA_BYTES),
            fingerprint: page.load(control::SCHEMA_FINGERPRINT),
        }
    }

    pub(super) fn write(self, page: &impl MemoryMut) {
        page.store(control::SCHEMA_BYTES, self.bytes);
        page.store(control::SCHEMA_FINGERPRINT, self.fingerprint);
    }

    /// Whether there is a schema.
    pub(crate) fn is_some(self) -> bool {
        self.bytes != 0
    }
}

/// Why a schema can't be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not there, or not whole: it is being written or removed, or somebody has removed its name.
    Vanished(ObjectError),
    /// It is not what the control page tells of.
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

    /// Creates the schema's object, in place of a leftover if need be. Only for who holds the channel's claim.
    pub(super) fn create_schema(&self, schema: &SchemaBytes, mode: Mode) -> Result<Words, ObjectError> {
        let content = schema.bytes();
        let bytes = schema::object_bytes(content.len());
        let memory = self.object_over_leftover(&self.schema_name(), bytes, mode)?;
        memory.store(schema::INSTANCE, self.instance);
        memory.store(schema::LENGTH, content.len() as u64);
        memory.store(schema::CHECKSUM, checksum::of_bytes(content));
        memory.write(schema::CONTENT, content);
        ready::declare(&memory);
        Ok(memory)
    }

    /// Copies the schema that the control page tells of.
    pub(super) fn read_schema(&self, mark: SchemaMark) -> Result<Vec<u8>, Unreadable> {
        let memory = self.backend.view(&self.schema_name())?;
        self.check_schema(&memory, mark)
    }

    /// Opens the schema of a dead writer's channel, to remove it with the channel some day.
    pub(super) fn reopen_schema(&self, mark: SchemaMark) -> Result<Words, Unreadable> {
        let memory = self.backend.reopen(&self.schema_name())?;
        self.check_schema(&memory, mark)?;
        Ok(memory)
    }

    /// The bytes, if the object is whole, of this instance, and agrees with the page. Nothing of it is trusted.
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
            // Of another instance: the channel was re-created.
            return Err(ObjectError::NotFound { object: self.schema_name() }.into());
        }
        let (len, told) = (memory.load(schema::LENGTH), mark.bytes);
        if len != told {
            return corrupt(format!("it has {len} bytes where the control page says {told}"));
        }
        let room = schema::MAX_BYTES.min((memory.len() - schema::CONTENT) * WORD_BYTES);
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= room) else {
            return corrupt(format!("it has no room for {len} bytes"));
        };
        let mut content = vec![0; len];
        memory.read(schema::CONTENT, &mut content);
        if checksum::of_bytes(&content) != memory.load(schema::CHECKSUM) {
            return corrupt("its checksum does not match".into());
        }
        if layout::fingerprint(&content) != mark.fingerprint {
            return corrupt("its fingerprint is not that of the control page".into());
        }
        Ok(content)
    }
}

/// What reading a channel's schema comes to: see [`Inspection::schema`](crate::inspect::Inspection::schema).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaInspection {
    /// The channel carries none.
    None,
    /// It is as its writer wrote it.
    Whole,
    /// There is no such object of this channel: somebody has removed its name, or the channel was removed meanwhile.
    Missing,
    /// Its object is not what the control page tells of.
    Spoiled {
        /// What is wrong with it.
        reason: String,
    },
    /// Its object can't be opened.
    Unreadable {
        /// Why not.
        reason: String,
    },
}

impl ChannelReader {
    /// What reading the schema comes to at this moment. Waits for nobody.
    pub(crate) fn inspect_schema(&self) -> SchemaInspection {
        let mark = self.page().schema();
        if !mark.is_some() {
            return SchemaInspection::None;
        }
        match self.segments.read_schema(mark) {
            Ok(_) => SchemaInspection::Whole,
            Err(Unreadable::Vanished(ObjectError::NotFound { .. })) => SchemaInspection::Missing,
            // It was whole before the page was declared ready.
            Err(Unreadable::Vanished(_)) => SchemaInspection::Spoiled { reason: "it is not whole".into() },
            Err(Unreadable::Corrupt(reason) | Unreadable::Failed(ObjectError::Foreign { reason, .. })) => {
                SchemaInspection::Spoiled { reason }
            }
            Err(Unreadable::Failed(error)) => SchemaInspection::Unreadable { reason: error.to_string() },
        }
    }

    /// The channel's schema; `None` if it carries none. Maps it, copies it, and unmaps it. What is missing or not
    /// whole is looked for again until the deadline of the retry policy.
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
            // Who removes the channel says so before it removes the object; what stands under the name then is none of ours.
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
