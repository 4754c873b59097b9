//! Options of readers: which channels a reader accepts, and what it makes of their states.

use std::ffi::c_char;

use tearless::accept::{Any, MatchingFields, SameSchema};
use tearless::schema::Schema;
use tearless::view::TrustedWriters;
use tearless::{Bytes, Reader, ReaderBuilder};

use crate::boundary;
use crate::codec::{TL_BYTES, TL_MESSAGE_PACK, TL_PLAIN, codec_and_structure, codec_name};
use crate::status::{Failure, Result, tl_status};
use crate::structure::{Structure, tl_structure};

/// TL_SAME_TYPE if there is a structure or a type_name; else channels of the codec; else, without
/// any of them, TL_ANY.
pub const TL_ACCEPT_DEFAULT: i32 = 0;
/// Channels of any codec and type: the reader returns what is in them.
pub const TL_ANY: i32 = 1;
/// Channels of the same codec and type name.
pub const TL_SAME_TYPE: i32 = 2;
/// Channels of the same codec whose schema has the same fields in the same places. Needs a
/// structure with members.
pub const TL_SAME_SCHEMA: i32 = 3;
/// Channels of the same codec that have all members of the structure, wherever they are; the reader
/// puts them in their places. Other members of the channel are left out. MessagePack needs no
/// structure.
pub const TL_MATCHING_FIELDS: i32 = 4;

/// Options of a reader. Make them with tl_reader_defaults(); what is 0 or NULL has its default.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_reader_options {
    /// sizeof(tl_reader_options).
    pub struct_size: u32,
    /// What the states must be: TL_BYTES, TL_PLAIN or TL_MESSAGE_PACK. TL_BYTES, which is 0, counts
    /// only if there is a type_name or an accept.
    pub codec: i32,
    /// The name of the states' type. Default: "bytes" for bytes, and that of the structure.
    pub type_name: *const c_char,
    /// The plain struct that states are read as: TL_STRUCTURE(type). The codec may then be 0.
    pub structure: *const tl_structure,
    /// Which channels the reader accepts: TL_ACCEPT_DEFAULT, TL_ANY, TL_SAME_TYPE, TL_SAME_SCHEMA
    /// or TL_MATCHING_FIELDS.
    pub accept: i32,
    /// 1 to view states in place, by which the caller promises that the processes which may write
    /// to the channel store to it by tearless only. Default: views are copies.
    pub views_in_place: i32,
    /// How long to wait for the channel to exist, in nanoseconds. Default: not at all.
    pub attach_timeout_ns: i64,
}

// SAFETY: integers and raw pointers.
unsafe impl boundary::OfC for tl_reader_options {}

// SAFETY: it begins with its size.
unsafe impl boundary::Options for tl_reader_options {
    const NAME: &str = "tl_reader_options";
    const MADE_BY: &str = "begin with tl_reader_options options = tl_reader_defaults()";
}

/// The length of a plain struct.
#[derive(Clone, Copy)]
pub(crate) struct StateLen {
    /// With its padding.
    pub(crate) size: usize,
    /// Whether members of the channel's own struct, which has another length, are put in their
    /// places.
    pub(crate) is_matched: bool,
}

type Builder = ReaderBuilder<Vec<u8>, Bytes>;

/// A reader, and the length of every state if they are plain structs.
pub(crate) type Opened = (Reader<Vec<u8>, Bytes>, Option<StateLen>);

impl tl_reader_options {
    /// # Safety
    ///
    /// Texts and structure are as their documentation says, and so is the promise of
    /// views_in_place.
    pub(crate) unsafe fn open(&self, builder: Builder) -> Result<Opened> {
        // SAFETY: the caller's promise.
        let type_name = unsafe { boundary::optional_text(self.type_name, "type_name")? };
        // SAFETY: the caller's promise.
        let (codec, structure) = unsafe { codec_and_structure(self.codec, self.structure)? };
        let timeout = boundary::duration(self.attach_timeout_ns, "attach_timeout_ns")?;
        let mut builder = builder.attach_within(timeout).encoded_by(codec_name(codec)?);
        if boundary::flag(self.views_in_place, "tl_reader_options.views_in_place")? {
            // SAFETY: the promise is the caller's.
            builder = builder.views_in_place(unsafe { TrustedWriters::new() });
        }
        if let Some(name) = type_name.or(structure.as_ref().map(|structure| &*structure.type_name)) {
            builder = builder.type_name(name);
        }
        let is_named = type_name.is_some() || structure.is_some();
        let is_plain = codec == TL_PLAIN;
        let reader = match self.accept {
            TL_ANY => builder.accept(Any).open()?,
            TL_SAME_TYPE | TL_ACCEPT_DEFAULT if is_named => builder.open()?,
            TL_ACCEPT_DEFAULT if codec == TL_BYTES => builder.accept(Any).open()?,
            TL_ACCEPT_DEFAULT => of_codec(builder, codec_name(codec)?)?,
            TL_SAME_TYPE if codec == TL_BYTES => builder.open()?,
            TL_SAME_TYPE => {
                return Err(Failure::invalid("TL_SAME_TYPE needs a structure or a type_name to compare"));
            }
            TL_SAME_SCHEMA => builder.schema(schema_of(structure.as_ref())?).accept(SameSchema).open()?,
            TL_MATCHING_FIELDS if is_plain => {
                builder.schema(schema_of(structure.as_ref())?).accept(MatchingFields).open()?
            }
            TL_MATCHING_FIELDS if codec == TL_MESSAGE_PACK => builder.accept(MatchingFields).open()?,
            TL_MATCHING_FIELDS => {
                return Err(Failure::invalid(
                    "bytes have no fields: TL_MATCHING_FIELDS needs a structure, or MessagePack",
                ));
            }
            other => {
                return Err(Failure::invalid(format!(
                    "accept {other} is none of TL_ANY, TL_SAME_TYPE, TL_SAME_SCHEMA and TL_MATCHING_FIELDS"
                )));
            }
        };
        let is_matched = self.accept == TL_MATCHING_FIELDS && !has_schema(&reader, structure.as_ref());
        Ok((reader, structure.map(|structure| StateLen { size: structure.size, is_matched })))
    }
}

/// The schema of a structure.
fn schema_of(structure: Option<&Structure>) -> Result<Schema> {
    structure.and_then(|structure| structure.schema.clone()).ok_or_else(|| {
        Failure::invalid(
            "TL_SAME_SCHEMA and TL_MATCHING_FIELDS need a structure with members: use TL_DESCRIBE",
        )
    })
}

/// Whether a channel has just the members of a structure, in their places.
fn has_schema(reader: &Reader<Vec<u8>, Bytes>, structure: Option<&Structure>) -> bool {
    let own = structure.and_then(|structure| structure.schema.as_ref());
    let schema = reader.schema_bytes().ok().flatten().and_then(|bytes| Schema::from_bytes(&bytes).ok());
    own.zip(schema).is_some_and(|(own, schema)| schema.differences(own).is_empty())
}

/// A reader of any channel of a codec.
fn of_codec(builder: Builder, codec: &str) -> Result<Reader<Vec<u8>, Bytes>> {
    let reader = builder.accept(Any).open()?;
    if reader.codec_name() == codec {
        return Ok(reader);
    }
    let (channel, found) = (reader.channel(), reader.codec_name());
    let text = format!("channel {channel:?} has the codec {found:?}, the reader asks for {codec:?}");
    Err(Failure::new(tl_status::TL_MISMATCH, text))
}
