//! Which channels a reader or a hub accepts: the choices of
//! [`ReaderBuilder::accept`](crate::ReaderBuilder::accept) and
//! [`HubBuilder::accept`](crate::hub::HubBuilder::accept).
//!
//! | choice | the reader accepts channels with | codecs |
//! |---|---|---|
//! | [`SameType`], the default | the same codec and type name | all |
//! | [`SameSchema`] | the same codec and an equal schema | those with a schema: `Postcard`, `Pod` |
//! | [`MatchingFields`] | the same codec and all fields of the reader's type | `MessagePack`, `Pod` |
//! | [`Any`] | any codec and type | all; made for `Bytes` |
//!
//! `MatchingFields` lets a program read its workers while they are replaced by newer or older ones.
//! `docs/schemas.md` has the rules by which fields and schemas are compared.

mod plan;

pub(crate) use plan::{Candidate, FieldPlan};

use crate::channel::AttachError;
#[cfg_attr(not(feature = "message-pack"), expect(unused_imports, reason = "named in a link"))]
use crate::codec::MessagePack;

/// A choice of the channels that a reader of `T` by the codec `C` accepts. Implemented by the unit
/// structs of this module.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be chosen for states of `{T}` with the codec `{C}`",
    note = "`SameSchema` needs a codec that knows the schema of the type (`tearless::schema::Describe`)",
    note = "`MatchingFields` needs `MessagePack`, or `Pod` and a `tearless::describe_pod!` of the type"
)]
pub trait Accept<T, C>: sealed::Sealed {
    /// Checks the channel; where its fields are at other offsets, also returns how to copy them.
    #[doc(hidden)]
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::SameType {}
    impl Sealed for super::SameSchema {}
    impl Sealed for super::MatchingFields {}
    impl Sealed for super::Any {}
}

/// Accepts channels with the same codec and the same type name: the default.
///
/// Fields are not compared: a type that has changed under the same name is accepted. Types that
/// change need another name ([`type_name`](crate::ReaderBuilder::type_name)), [`SameSchema`] or
/// [`MatchingFields`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SameType;

impl<T, C> Accept<T, C> for SameType {
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        candidate.reader.has_format(candidate.expected).map(|()| None)
    }
}

/// Accepts channels whose schema ([`with_schema`](crate::WriterBuilder::with_schema)) equals the
/// schema of the reader's type, whatever the type is called. A type that has changed under the same
/// name is refused with an [`AttachError::SchemaDiffers`] that names the fields. If a channel
/// carries no schema, its codec and type name are compared, as [`SameType`] does.
///
/// Cost: attaching reads the schema. Needs the feature `schema`.
///
/// ```
/// # #[cfg(feature = "schema")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tearless::{Postcard, accept};
/// # let fleet = tearless::Namespace::in_process("fleet")?;
///
/// let writer = fleet.writer_builder::<(u64, u32)>("worker-7").codec::<Postcard>();
/// let writer = writer.type_name("State").with_schema().open()?;
///
/// let reader = fleet.reader_builder::<(u64, u64)>("worker-7").codec::<Postcard>();
/// let error = reader.type_name("State").accept(accept::SameSchema).open().unwrap_err();
/// assert!(error.to_string().contains("[1]: u32 in the channel, u64 in the reader"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "schema"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SameSchema;

#[cfg(feature = "schema")]
impl<T, C: crate::schema::Describe<T>> Accept<T, C> for SameSchema {
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        candidate.has_schema(&C::describe()).map(|()| None)
    }
}

/// Accepts channels whose states have all fields of the reader's type, by name. They may have more
/// fields, in another order. The codec must be the same; the type may have any name.
///
/// * [`MessagePack`]: fields are found in each payload. If a payload lacks a field that has no
///   `#[serde(default)]`, the snapshot fails with an error that names the field.
/// * [`Pod`](crate::Pod): the fields are compared once, with the schema that the channel carries
///   ([`with_schema`](crate::WriterBuilder::with_schema)); the reader's type needs a
///   [`describe_pod!`](crate::describe_pod). A missing field, or a field of another type, is an
///   [`AttachError::SchemaDiffers`]; a channel without a schema is an [`AttachError::NoSchema`].
///   Elements of arrays and tuple structs are found by position and must be equally many.
///
/// Cost for `Pod`: if the layouts differ, a snapshot copies the payload, then each run of fields
/// that are adjacent in both layouts. In an array of structs with different layouts, each element
/// has such runs; the plan keeps 24 bytes for each run.
#[derive(Clone, Copy, Debug, Default)]
pub struct MatchingFields;

#[cfg(feature = "message-pack")]
impl<T> Accept<T, MessagePack> for MatchingFields {
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        candidate.reader.has_codec(candidate.expected).map(|()| None)
    }
}

#[cfg(feature = "schema")]
impl<S: crate::codec::Plain<Data: crate::schema::DescribePod>> Accept<S, crate::codec::Pod>
    for MatchingFields
{
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        candidate.has_fields_of::<S::Data>()
    }
}

/// Of payloads that the program decodes itself, by the schema that
/// [`ReaderBuilder::schema`](crate::ReaderBuilder::schema) names.
#[cfg(feature = "schema")]
impl Accept<Vec<u8>, crate::codec::Bytes> for SameSchema {
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        candidate.has_schema(candidate.own_schema()?).map(|()| None)
    }
}

/// Of payloads that the program decodes itself: MessagePack, or plain data by the schema that
/// [`ReaderBuilder::schema`](crate::ReaderBuilder::schema) names.
#[cfg(feature = "schema")]
impl Accept<Vec<u8>, crate::codec::Bytes> for MatchingFields {
    fn check(candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        if candidate.is_of_message_pack() {
            return candidate.reader.has_codec(candidate.expected).map(|()| None);
        }
        candidate.has_fields(candidate.own_schema()?)
    }
}

/// Accepts every channel. A reader of `Vec<u8>` with the codec [`Bytes`](crate::Bytes) gets the
/// payloads as they are; [`codec_name`](crate::Reader::codec_name),
/// [`type_name`](crate::Reader::type_name) and [`schema_bytes`](crate::Reader::schema_bytes)
/// describe them.
///
/// Another codec may get payloads of a foreign encoding: it fails to decode them, or decodes a
/// state that was never published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Any;

impl<T, C> Accept<T, C> for Any {
    fn check(_candidate: &Candidate<'_>) -> Result<Option<FieldPlan>, AttachError> {
        Ok(None)
    }
}
