//! Codecs for the types of serde.

use super::Codec;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
use super::{CodecError, Decode, Encode};

/// [MessagePack](https://msgpack.org) with names, the default codec. Structs are maps from field
/// names to values, and enums have the names of their variants. Any serde type that has names can
/// be published, and the payload describes itself:
///
/// * A reader ignores fields that it does not know. A field that the writer does not know takes its
///   `#[serde(default)]`. The order of fields does not matter.
/// * Other languages and the `tearless` command can read the payload without a schema.
///
/// Cost: every payload holds all names. In the experiment `formats` (`docs/experiments.md`), a
/// payload takes about twice the bytes, and encoding and decoding about twice the time, of
/// [`Postcard`]; states of short values with long names take more. [`Postcard`] is the choice for
/// states that are published many thousands of times a second, and [`Pod`](super::Pod) for plain
/// data.
///
/// Types have their human-readable form, as in JSON: an IP address is a text. MessagePack has no
/// integers of more than 64 bits: a larger one becomes an extension of its 16 bytes, most
/// significant first, of type 105 (`i128`) or 117 (`u128`).
///
/// The writer refuses what no reader could read, or would read as something else, with an
/// [`EncodeError`](crate::error::EncodeError): `Some` of nothing, two fields of one name, wrong
/// lengths, too many levels. `docs/schemas.md` has a table of what each codec carries.
///
/// Decoding is limited: a payload that nests deeper than 128 levels, or claims more elements than
/// it can hold, is refused with a `CapError`.
///
/// Without the feature `message-pack` this type neither encodes nor decodes.
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl MessagePack {
    /// The codec's name.
    pub const NAME: &'static str = "message-pack";
}

impl<T: ?Sized> Codec<T> for MessagePack {
    const NAME: &'static str = MessagePack::NAME;
}

/// [Postcard](https://docs.rs/postcard): compact and fast, for types that implement both
/// `Serialize` and `Deserialize`.
///
/// A payload holds values only, so writer and reader need the same fields in the same order. A
/// channel can carry the schema of its states beside them (module `schema`).
///
/// The writer refuses what no reader could read, or would read as something else, with an
/// [`EncodeError`](crate::error::EncodeError): fields that are skipped, flattened, or tagged in
/// their place, and types whose contents may be of any type. Serde does not tell a codec all of
/// that, so the writer itself decodes the first state with a new *shape* (another variant of an
/// enum, the first contents of an option or a list) and compares. That takes about three times as
/// long as encoding, and allocates; other states cost a look at a table for each variant.
///
/// Decoding is limited: a payload that nests deeper than 128 levels, or claims more elements than
/// it can hold, is refused with a `CapError`.
///
/// A type whose fields have changed under the same name is read as nonsense, unless the reader's
/// [`accept`](crate::accept) compares fields.
///
/// Without the feature `postcard` this type neither encodes nor decodes.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Postcard {
    /// The codec's name.
    pub const NAME: &'static str = "postcard";
}

impl<T: ?Sized> Codec<T> for Postcard {
    const NAME: &'static str = Postcard::NAME;
}

/// An error of a codec, and what the programmer of the writer has to change.
#[cfg(any(feature = "postcard", feature = "message-pack"))]
#[cold]
fn with_advice(error: &dyn std::fmt::Display, advice: &str) -> CodecError {
    format!("{error}; {advice}").into()
}

#[cfg(feature = "message-pack")]
mod named {
    use std::io::ErrorKind;

    use rmp_serde::config::{DefaultConfig, StructMapConfig};
    use rmp_serde::decode::Error;
    use serde::de::{Deserialize, DeserializeOwned, Deserializer};
    use serde::ser::Serialize;

    use super::super::capped::{self, Failure, Mode};
    use super::super::checked::{self, Wire};
    use super::{CodecError, Decode, Encode, MessagePack, with_advice};

    impl<T: Serialize + ?Sized> Encode<T> for MessagePack {
        fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
            scratch.clear();
            checked::encode(value, rmp_serde::Serializer::new(&mut *scratch).with_struct_map())?;
            Ok(scratch)
        }
    }

    impl Wire for rmp_serde::Serializer<&mut Vec<u8>, StructMapConfig<DefaultConfig>> {
        type Error = rmp_serde::encode::Error;
        type Serializer<'a>
            = &'a mut Self
        where
            Self: 'a;

        const IS_MESSAGE_PACK: bool = true;

        #[inline(always)]
        fn serializer(&mut self) -> &mut Self {
            self
        }

        #[inline(always)]
        fn payload(&mut self) -> &mut Vec<u8> {
            self.get_mut()
        }
    }

    impl<T: DeserializeOwned> Decode<T> for MessagePack {
        fn decode(payload: &[u8]) -> Result<T, CodecError> {
            let mut deserializer = rmp_serde::Deserializer::from_read_ref(payload);
            let mode = Mode { is_message_pack: true, asked: None };
            match capped::decode(&mut deserializer, payload.len(), mode) {
                Ok(value) if is_at_end(&mut deserializer) => Ok(value),
                Ok(_) => Err("bytes are left over after the value".into()),
                Err(Failure::Cap(cap)) => Err(cap.into()),
                Err(Failure::Codec(error)) => Err(with_advice(&error, advice(&error.to_string()))),
            }
        }
    }

    /// Whether all bytes have been read. The deserializer does not report its position, but at the
    /// end it fails to read the marker of another value.
    fn is_at_end<'de, D: Deserializer<'de, Error = Error>>(deserializer: D) -> bool {
        let next: Result<u8, Error> = Deserialize::deserialize(deserializer);
        matches!(next, Err(Error::InvalidMarkerRead(error)) if error.kind() == ErrorKind::UnexpectedEof)
    }

    #[cold]
    fn advice(error: &str) -> &'static str {
        match error {
            _ if error.contains("missing field") => {
                "the writer's type does not have it, or skips it: give the reader's field `#[serde(default)]`, or let \
                 the writer's type write it always"
            }
            _ if error.contains("duplicate field") => {
                "a flattened field, or the tag of an enum, has the name of another field: rename it"
            }
            _ if error.contains("unknown variant") => {
                "the writer's enum has it: add it to the reader's, or a variant with `#[serde(other)]`"
            }
            _ if error.contains("128 is not supported") || error.contains("untagged") => {
                "inside of `flatten`, `tag` and `untagged` serde reads no 128-bit integers, and only the variants that \
                 the reader's type has: let the writer's type hold such an integer elsewhere, or as text"
            }
            _ => "the writer's type has another type or another number of values there: use one type",
        }
    }
}

#[cfg(feature = "postcard")]
mod compact {
    use std::cell::RefCell;

    use postcard::ser_flavors::Flavor;
    use serde::de::DeserializeOwned;
    use serde::ser::Serialize;

    use super::super::capped::{self, Failure, Fields, Mode};
    use super::super::checked::{self, EncodeError, Record, Shape, Wire};
    use super::{CodecError, Decode, Encode, Postcard, with_advice};

    impl<T: Serialize + DeserializeOwned> Encode<T> for Postcard {
        fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
            scratch.clear();
            if let Some(record) = checked::encode(value, into::<false>(scratch))? {
                try_to_read(value, scratch).map_err(EncodeError::of::<T>)?;
                record.shapes.into_iter().for_each(Shape::set_readable);
            }
            Ok(scratch)
        }

        fn may_be_payload(payload: &[u8]) -> bool {
            match read::<T>(payload, None) {
                Ok((value, rest)) => {
                    let mut again = Vec::new();
                    let is_same = record(&value, &mut again).is_err() || again.len() == payload.len();
                    is_same && rest == 0
                }
                // The type has these fields, but not these values.
                Err(Failure::Cap(_) | Failure::Codec(postcard::Error::SerdeDeCustom)) => true,
                Err(Failure::Codec(_)) => false,
            }
        }
    }

    /// Where Postcard writes.
    struct Growing<'v, const IS_TRIAL: bool>(&'v mut Vec<u8>);

    #[inline(always)]
    fn into<const IS_TRIAL: bool>(payload: &mut Vec<u8>) -> postcard::Serializer<Growing<'_, IS_TRIAL>> {
        postcard::Serializer { output: Growing(payload) }
    }

    impl<const IS_TRIAL: bool> Flavor for Growing<'_, IS_TRIAL> {
        type Output = ();

        #[inline(always)]
        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.0.push(byte);
            Ok(())
        }

        #[inline(always)]
        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            match bytes {
                // Most numbers take one byte.
                [byte] => self.0.push(*byte),
                bytes => self.0.extend_from_slice(bytes),
            }
            Ok(())
        }

        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }

    impl<const IS_TRIAL: bool> Wire for postcard::Serializer<Growing<'_, IS_TRIAL>> {
        type Error = postcard::Error;
        type Serializer<'a>
            = &'a mut Self
        where
            Self: 'a;

        const IS_MESSAGE_PACK: bool = false;
        const IS_TRIAL: bool = IS_TRIAL;

        #[inline(always)]
        fn serializer(&mut self) -> &mut Self {
            self
        }

        #[inline(always)]
        fn payload(&mut self) -> &mut Vec<u8> {
            self.output.0
        }
    }

    /// Decodes what `value` is encoded to, and compares: a type may skip what its reader expects,
    /// or read what Postcard does not write. Values are compared by their structs, variants and
    /// lengths: maps may have another order, and a type may encode the time.
    #[cold]
    #[inline(never)]
    fn try_to_read<T>(value: &T, scratch: &mut Vec<u8>) -> Result<(), EncodeError>
    where
        T: Serialize + DeserializeOwned,
    {
        scratch.clear();
        let written = record(value, scratch)?;
        let asked = RefCell::default();
        let read = finish(read::<T>(scratch, Some(&asked)), DISAGREE);
        let mut again = Vec::new();
        let rewritten = read.map(|value| record(&value, &mut again));
        judge(written, &asked.into_inner(), rewritten, again.len() == scratch.len())
    }

    /// Compares what was written with what the value that was read from it is encoded to.
    fn judge(
        mut written: Record,
        asked: &[Fields],
        rewritten: Result<Result<Record, EncodeError>, CodecError>,
        is_as_long: bool,
    ) -> Result<(), EncodeError> {
        let reason = match rewritten {
            Err(error) => Some(format!("readers can't decode it: {error}")),
            Ok(Err(error)) => Some(format!("readers decode another state: {error}")),
            Ok(Ok(mut rewritten)) => written
                .other_variant(&mut rewritten)
                .or_else(|| (!is_as_long).then(|| format!("readers decode another state; {DISAGREE}"))),
        };
        match (reason, written.other_fields(asked)) {
            (None, None | Some((_, false))) => Ok(()),
            (Some(reason), None) => Err(EncodeError::new(reason)),
            (Some(reason), _) if reason.ends_with(NO_TYPES) => Err(EncodeError::new(reason)),
            (_, Some((reason, _))) => Err(EncodeError::new(reason)),
        }
    }

    /// Compiled once for each type, as `read` is.
    #[cold]
    #[inline(never)]
    fn record<T: Serialize>(value: &T, payload: &mut Vec<u8>) -> Result<Record, EncodeError> {
        Ok(*checked::encode(value, into::<true>(payload))?.unwrap_or_default())
    }

    impl<T: DeserializeOwned> Decode<T> for Postcard {
        fn decode(payload: &[u8]) -> Result<T, CodecError> {
            finish(read(payload, None), OTHER_FIELDS)
        }
    }

    /// A value, and the number of bytes that are left over.
    type Read<T> = Result<(T, usize), Failure<postcard::Error>>;

    /// `asked` records the structs that `T` asks for.
    #[inline(never)]
    fn read<T: DeserializeOwned>(payload: &[u8], asked: Option<&RefCell<Vec<Fields>>>) -> Read<T> {
        let mut deserializer = postcard::Deserializer::from_bytes(payload);
        let mode = Mode { is_message_pack: false, asked };
        let value = capped::decode(&mut deserializer, payload.len(), mode)?;
        Ok((value, deserializer.finalize().map_err(Failure::Codec)?.len()))
    }

    #[inline(always)]
    fn finish<T>(read: Read<T>, advice: &str) -> Result<T, CodecError> {
        match read {
            Ok((value, 0)) => Ok(value),
            Ok((_, left)) => Err(explain(Ok(left), advice)),
            Err(failure) => Err(explain(Err(failure), advice)),
        }
    }

    /// `outcome` is the number of bytes that are left over, or the failure. `advice` is the one for
    /// most errors.
    #[cold]
    fn explain(outcome: Result<usize, Failure<postcard::Error>>, advice: &str) -> CodecError {
        match outcome {
            Ok(left) => with_advice(&format_args!("{left} bytes are left over after the value"), advice),
            Err(Failure::Cap(cap)) => cap.into(),
            Err(Failure::Codec(postcard::Error::WontImplement)) => NO_TYPES.into(),
            Err(Failure::Codec(error)) => with_advice(&error, advice),
        }
    }

    const OTHER_FIELDS: &str = "the writer's type has other fields or variants than the reader's: use one type, or \
                                give the channel a schema (`with_schema`), from which readers learn what differs";

    /// What is wrong with a type that does not even read what it has written.
    const DISAGREE: &str = "its `Serialize` and `Deserialize` do not agree (perhaps a variant that is skipped comes \
                            before others, or one side has a `with`): correct that, or use the codec `MessagePack`";

    const NO_TYPES: &str = "Postcard can't carry `untagged`, `tag`, `flatten` and types of any contents, such as \
                            `serde_json::Value`: use the codec `MessagePack`";
}
