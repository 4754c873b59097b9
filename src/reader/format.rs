//! In what form a channel's states are, and which forms a reader accepts.

use std::sync::Arc;

#[cfg(feature = "schema")]
use super::with_schema::Structure;
use super::{Reader, ReaderBuilder};
use crate::channel::{AttachError, ChannelName, ChannelReader, Format, ReaderOptions};
use crate::clock::TimestampSource;
#[cfg(feature = "message-pack")]
use crate::codec::MessagePack;
use crate::object::Backend;

/// Which channels a reader accepts.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// Those whose codec and type name are the same.
    Named,
    /// Those that carry this schema; of those that carry none, those whose codec and type name are the same.
    #[cfg(feature = "schema")]
    Described(Structure),
    /// Those of the same codec.
    #[cfg(feature = "message-pack")]
    Codec,
    /// All.
    Any,
}

impl Expected {
    /// What was expected of one codec says nothing about another one.
    pub(super) fn of_another_codec(self) -> Expected {
        match self {
            #[cfg(feature = "schema")]
            Expected::Described(_) => Expected::Named,
            #[cfg(feature = "message-pack")]
            Expected::Codec => Expected::Named,
            same => same,
        }
    }

    /// Attaches to a channel of an accepted format; `named` is the form by its names.
    pub(super) fn attach(
        &self,
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &ReaderOptions,
        named: Format,
    ) -> Result<ChannelReader, AttachError> {
        let format = match self {
            Expected::Named => Some(named),
            Expected::Any => None,
            #[cfg(feature = "message-pack")]
            Expected::Codec => {
                let reader = crate::channel::attach(backend, name, options)?;
                return reader.has_codec(&named).map(|()| reader);
            }
            #[cfg(feature = "schema")]
            Expected::Described(structure) => return structure.attach(backend, name, options, &named),
        };
        crate::channel::attach(backend, name, &ReaderOptions { format, ..options.clone() })
    }
}

impl<T, C> ReaderBuilder<T, C> {
    /// Attaches whatever codec and type name the channel has. For who decodes by himself: a reader of `Vec<u8>` and
    /// [`Bytes`](crate::Bytes) gives every channel's payloads as they are, and [`Reader::codec_name`],
    /// [`Reader::type_name`] and [`Reader::schema_bytes`] tell what they are.
    ///
    /// Any other codec is then given payloads that may not be its own: it fails to decode them, or decodes something that
    /// was never published.
    pub fn any_format(mut self) -> Self {
        self.expected = Expected::Any;
        self
    }
}

#[cfg(feature = "message-pack")]
impl<T> ReaderBuilder<T, MessagePack> {
    /// Does not compare schemas: `T` may be another type than the writer's, or an older or newer version of it. Fields
    /// are found by their names when a state is decoded, so those that `T` does not know are skipped, and for those that
    /// the writer does not publish `T` has `#[serde(default)]`; else snapshots fail with
    /// [`SnapshotError::Decode`](crate::error::SnapshotError::Decode), which names the field.
    ///
    /// The codec is compared as ever.
    pub fn by_name(mut self) -> Self {
        self.expected = Expected::Codec;
        self
    }
}

impl<T, C> Reader<T, C> {
    /// The name of the codec that the writer encodes by, as the control page says: for people, cut after 64 bytes.
    #[must_use]
    pub fn codec_name(&self) -> &str {
        &self.channel.format().codec
    }

    /// The type name of the writer's states, as the control page says: for people, cut after 512 bytes.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.channel.format().type_name
    }

    /// Whether the present writer dates its publications, so that snapshots have an age. Costs one load.
    #[must_use]
    pub fn is_dated(&self) -> bool {
        self.channel.page().timestamps() != TimestampSource::None
    }

    /// The bytes of the schema that the channel carries; `None` if it carries none. What they mean, the module `schema`
    /// says (feature `schema`).
    ///
    /// They are of the channel, not of a publication: they never change while this reader is not told that the channel
    /// was closed. Keep them.
    ///
    /// Progress: bounded by the deadline of the [`RetryPolicy`](crate::options::RetryPolicy), and longer than some system calls only
    /// if somebody has removed the object. Cost: mapping the object, a copy, a checksum.
    ///
    /// # Errors
    ///
    /// [`AttachError::Removed`] if the channel was removed or replaced: attach again.
    /// [`AttachError::SchemaCorrupt`] if what stands there is not what the writer wrote, [`AttachError::Object`] if it
    /// can't be opened. Snapshots can be taken all the same.
    pub fn schema_bytes(&self) -> Result<Option<Vec<u8>>, AttachError> {
        self.channel.schema_bytes()
    }
}
