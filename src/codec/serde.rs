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
/// [`EncodeError`](crate::error::EncodeError): `Some` of a value that is null, two fields of one
/// name, wrong lengths, too many levels. `docs/schemas.md` has a table of what each codec carries.
///
/// Decoding is limited: a payload that nests deeper than 64 levels, or claims more elements than
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
/// their place, and types that hold values of any type. Serde does not tell a codec all of that, so
/// the writer itself decodes the first state with a new *shape* (another variant of an enum, the
/// first contents of an option or a list) and compares. That takes about four times as long as
/// encoding, and allocates; beyond 32 KiB it takes a thread with a stack of its own. Other states
/// cost a look at a table for each variant.
///
/// Decoding is limited: a payload that nests deeper than 64 levels, or claims more elements than
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

    use super::super::capped::{self, Failure, Read};
    use super::super::checked;
    use super::super::output::Wire;
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
            match capped::decode(&mut deserializer, payload.len(), Read::<true>) {
                Ok(value) if is_at_end(&mut deserializer) => Ok(value),
                Ok(_) | Err(Failure::Rest(_)) => Err("bytes are left over after the value".into()),
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
            _ if error.contains("invalid length") => {
                "the writer's type has another number of values there, or skips one (`skip_serializing_if`): use one \
                 type, and names for fields that may be missing"
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
            _ => {
                "the writer's type has another type or another number of values there, or one side skips a field \
                 without a name (`skip_deserializing`, `skip_serializing`): use one type, and `#[serde(skip)]`"
            }
        }
    }
}

#[cfg(feature = "postcard")]
mod compact {
    use std::cell::RefCell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use postcard::ser_flavors::Flavor;
    use serde::de::DeserializeOwned;
    use serde::ser::Serialize;

    use super::super::capped::{self, Failure, Mode, Read};
    use super::super::checked;
    use super::super::output::Wire;
    use super::super::refusal::EncodeError;
    use super::super::shapes::{Asked, Record, Shape, sum};
    use super::super::text_of_panic;
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
            // A panic says no more than an error of the type's own.
            let Ok((_, outcome)) = reread::<T>(payload) else { return true };
            match outcome {
                Ok(again) => again.map_or(true, |(_, again)| again.len() == payload.len()),
                // The type has these fields, but not these values.
                Err(Failure::Cap(_) | Failure::Codec(postcard::Error::SerdeDeCustom)) => true,
                Err(_) => false,
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
    /// or read what Postcard does not write. Values are compared by their structs, variants, kinds
    /// and lengths: maps may have another order, and a type may encode the time.
    #[cold]
    #[inline(never)]
    fn try_to_read<T: Serialize + DeserializeOwned>(
        value: &T,
        scratch: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        scratch.clear();
        let mut written = record(value, scratch)?;
        let (asked, outcome) = reread::<T>(scratch).map_err(EncodeError::new)?;
        let reason = match outcome {
            Err(failure) => Some(format!("readers can't decode it: {}", explain(failure, DISAGREE))),
            Ok(Err(error)) => Some(format!("readers decode another state: {error}")),
            Ok(Ok((mut rewritten, again))) => {
                let mut later = Vec::new();
                record(value, &mut later)?;
                // A time that is encoded later may be longer, so each of the three has its length.
                let is_as_long =
                    (scratch.len().min(later.len())..=scratch.len().max(later.len())).contains(&again.len());
                // A value that is another one at each encoding is no reason.
                let is_constant = later == *scratch;
                written
                    .other_variant(&mut rewritten)
                    .or_else(|| (!is_as_long).then(|| format!("readers decode another state; {DISAGREE}")))
                    .or_else(|| written.other_kind(&asked, !is_constant || sum(scratch) == sum(&again)))
                    .or_else(|| written.shifted(&rewritten, &asked).filter(|_| is_constant))
            }
        };
        match (reason, written.other_fields(&asked)) {
            (None, None | Some((_, false))) => Ok(()),
            (Some(reason), None) => Err(EncodeError::new(reason)),
            (Some(reason), _) if reason.ends_with(NO_TYPES) => Err(EncodeError::new(reason)),
            (_, Some((reason, _))) => Err(EncodeError::new(reason)),
        }
    }

    /// What a reader asks for, and what its value is encoded to.
    type Reread = (Asked, Result<Result<(Record, Vec<u8>), EncodeError>, Failure<postcard::Error>>);

    /// States of more bytes are decoded on a stack of their own: `Deserialize` returns a type by
    /// value, and without optimization moves it a dozen times.
    const MAX_ON_STACK: usize = 32 << 10;

    /// Decodes `payload`, and encodes the value again. A writer would not run `Deserialize`
    /// otherwise: its panic is an error.
    fn reread<T: Serialize + DeserializeOwned>(payload: &[u8]) -> Result<Reread, String> {
        let work = || {
            let asked = RefCell::default();
            let outcome = read::<T, _>(payload, &asked).map(|value| {
                let mut again = Vec::new();
                record(&value, &mut again).map(|record| (record, again))
            });
            (asked.into_inner(), outcome)
        };
        // A payload says how large the value in a box is.
        let size = size_of::<T>().max(payload.len().min(8 << 20));
        let outcome = match size <= MAX_ON_STACK {
            true => catch_unwind(AssertUnwindSafe(work)),
            false => thread::scope(|scope| {
                let thread = thread::Builder::new().name("tearless-trial".into());
                let thread = thread.stack_size((2 << 20) + 32 * size).spawn_scoped(scope, work);
                thread.map(thread::ScopedJoinHandle::join)
            })
            .map_err(|error| format!("a trial of its size needs a thread, and there is none: {error}"))?,
        };
        outcome
            .map_err(|panic| format!("readers would panic when they decode it: {}", text_of_panic(&*panic)))
    }

    /// Compiled once for each type, as `read` is.
    #[cold]
    #[inline(never)]
    fn record<T: Serialize>(value: &T, payload: &mut Vec<u8>) -> Result<Record, EncodeError> {
        Ok(*checked::encode(value, into::<true>(payload))?.unwrap_or_default())
    }

    impl<T: DeserializeOwned> Decode<T> for Postcard {
        fn decode(payload: &[u8]) -> Result<T, CodecError> {
            read(payload, Read::<false>).map_err(|failure| explain(failure, OTHER_FIELDS))
        }
    }

    #[inline(never)]
    fn read<T: DeserializeOwned, M: Mode>(payload: &[u8], mode: M) -> Result<T, Failure<postcard::Error>> {
        let mut deserializer = postcard::Deserializer::from_bytes(payload);
        let value = capped::decode(&mut deserializer, payload.len(), mode)?;
        match deserializer.finalize().map_err(Failure::Codec)?.len() {
            0 => Ok(value),
            rest => Err(Failure::Rest(rest)),
        }
    }

    /// `advice` is the one for most errors.
    #[cold]
    fn explain(failure: Failure<postcard::Error>, advice: &str) -> CodecError {
        match failure {
            Failure::Rest(rest) => {
                with_advice(&format_args!("{rest} bytes are left over after the value"), advice)
            }
            Failure::Cap(cap) => cap.into(),
            Failure::Codec(postcard::Error::WontImplement) => NO_TYPES.into(),
            Failure::Codec(error) => with_advice(&error, advice),
        }
    }

    const OTHER_FIELDS: &str = "the writer's type has other fields or variants than the reader's: use one type, or \
                                give the channel a schema (`with_schema`), from which readers that accept \
                                `accept::SameSchema` learn what differs";

    /// What is wrong with a type that does not even read what it has written.
    const DISAGREE: &str = "its `Serialize` and `Deserialize` do not agree (perhaps a variant that is skipped comes \
                            before others, or one side has a `with`): correct that, or use the codec `MessagePack`";

    const NO_TYPES: &str = "Postcard can't carry `untagged`, `tag`, `flatten` and types that hold values of any type, \
                            such as `serde_json::Value`: use the codec `MessagePack`";
}
