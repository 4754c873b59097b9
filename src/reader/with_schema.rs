//! Readers that compare what states consist of, instead of what their type is called.

use super::format::Expected;
use super::{ReaderBuilder, retry_attach};
use crate::channel::{AttachError, ChannelName, ChannelReader, Format, ReaderOptions};
use crate::object::Backend;
use crate::schema::{Describe, Schema};
use std::sync::Arc;

/// The schema that a reader's type has.
#[derive(Clone, Debug)]
pub(super) struct Structure(Schema);

impl Structure {
    /// Attaches to a channel of this structure; `named` is the form by its names, for a channel that carries no schema.
    pub(super) fn attach(
        &self,
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &ReaderOptions,
        named: &Format,
    ) -> Result<ChannelReader, AttachError> {
        retry_attach(|| {
            let reader = crate::channel::attach(backend, name, options)?;
            self.check(&reader, named).map(|()| reader)
        })
    }

    fn check(&self, reader: &ChannelReader, named: &Format) -> Result<(), AttachError> {
        let Some(schema_bytes) = reader.schema_bytes()? else { return reader.has_format(named) };
        // The names of codecs differ before structures do: bytes of another codec mean nothing.
        reader.has_codec(named)?;
        let channel = || reader.channel().to_owned();
        let schema = Schema::from_bytes(&schema_bytes)
            .map_err(|error| AttachError::SchemaUnknown { channel: channel(), reason: error.to_string() })?;
        let differences = schema.differences(&self.0);
        if differences.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = differences.iter().map(ToString::to_string).collect();
        Err(AttachError::SchemaDiffers { channel: channel(), differences: texts.join("; ") })
    }
}

impl<T, C> ReaderBuilder<T, C> {
    /// Compares what the states consist of, where the channel carries a schema
    /// ([`WriterBuilder::with_schema`](crate::WriterBuilder::with_schema)), instead of what their type is called: a type
    /// that has changed under the same name is refused with [`AttachError::SchemaDiffers`], which names the fields, and
    /// one of another name that means the same is accepted. Where the channel carries none, names are compared as ever.
    ///
    /// Choose the codec first: what another one expects is forgotten.
    ///
    /// Cost: opening reads the schema ([`Reader::schema_bytes`](crate::Reader::schema_bytes)). Only with the feature
    /// `schema`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// let writer = fleet.writer_builder::<(u64, u32)>("worker-7").type_name("State").with_schema().open()?;
    /// let reader = fleet.reader_builder::<(u64, u64)>("worker-7").type_name("State").with_schema().open();
    /// assert!(reader.unwrap_err().to_string().contains("[1]: u32 in the channel, u64 in the reader"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_schema(mut self) -> Self
    where
        C: Describe<T>,
    {
        self.expected = Expected::Described(Structure(C::describe()));
        self
    }
}
