//! The value of a payload: which decoder it needs, and the decoder of MessagePack, which needs no
//! schema.

use std::fmt;
use std::io::ErrorKind;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::described;
use super::error::{DecodeError, MAX_LEVELS};
use super::value::{self, Budget};
use crate::codec::{EXTENSION_I128, EXTENSION_U128, MessagePack, Pod, Postcard};
use crate::schema::{Encoding, Schema, Type};

/// The value of a payload of `codec`. The codecs `postcard` and `pod` need the channel's schema,
/// `message-pack` does not.
///
/// Cost: that of the value. A number in an array takes 72 bytes, in an object some 150 and those of
/// its name. A hostile schema with long names may take 1,024 bytes for each byte of the payload and
/// for 1,024 more, and another 4 MiB: one value of each of the schema's types. A hostile
/// MessagePack payload may take 300 times its bytes.
///
/// # Errors
///
/// [`DecodeError`].
pub fn decode(codec: &str, schema: Option<&Schema>, payload: &[u8]) -> Result<Value, DecodeError> {
    match described_by(codec, schema)? {
        None => message_pack(payload, Json { budget: None }),
        Some((encoding, root)) => described_json(encoding, root, payload),
    }
}

/// What `seed` makes of a payload of `codec`. A visitor gets NaN, bytes, integers of 128 bits and
/// keys of maps, which JSON can't express. [`decode`] is built on it.
///
/// The payload, and not the seed's type, says what a value is: the seed, and those of the values
/// inside, call [`deserialize_any`](de::Deserializer::deserialize_any), and the visitor gets
///
/// | state | visitor |
/// |---|---|
/// | a struct; a tuple | a map with the fields' names; a sequence |
/// | `None`; `Some`, newtype structs | unit; the contents |
/// | a unit struct | unit; in MessagePack an empty sequence |
/// | a variant without fields; any other | its name; a map whose only key is its name |
/// | integers of up to 64 bits; of more that need them | `u64`, `i64`; `u128`, `i128` |
/// | an extension of MessagePack | a newtype struct of a sequence: its type, an `i8`, and its bytes |
///
/// So types that derive `Deserialize` are no seeds: they call other methods for `Option` and enums.
/// An integer of 128 bits in MessagePack is an extension, see [`MessagePack`]. A visitor has to
/// take all of a sequence or a map. In MessagePack, their `size_hint` is what the payload claims:
/// reserve little.
///
/// Cost: that of the seed, whose visitor is called as often as values are decoded; the limits are
/// those of [`decode`].
///
/// # Errors
///
/// [`DecodeError`]; [`DecodeError::Payload`] with the text of the error if the visitor refuses a
/// value.
pub fn decode_seed<'de, S: DeserializeSeed<'de>>(
    codec: &str,
    schema: Option<&Schema>,
    payload: &'de [u8],
    seed: S,
) -> Result<S::Value, DecodeError> {
    match described_by(codec, schema)? {
        None => message_pack(payload, seed),
        Some((encoding, root)) => {
            described::decode(encoding, root, payload, &Budget::new(root, payload.len()), seed)
        }
    }
}

/// The value of a payload of this type.
pub(super) fn described_json(encoding: Encoding, root: &Type, payload: &[u8]) -> Result<Value, DecodeError> {
    let budget = Budget::new(root, payload.len());
    described::decode(encoding, root, payload, &budget, Json { budget: Some(&budget) })
}

/// The encoding and the type that payloads of the codec are decoded by; `None` if they need none.
fn described_by<'a>(
    codec: &str,
    schema: Option<&'a Schema>,
) -> Result<Option<(Encoding, &'a Type)>, DecodeError> {
    let encoding = match codec {
        MessagePack::NAME => return Ok(None),
        Postcard::NAME => Encoding::Postcard,
        Pod::NAME => Encoding::Pod,
        _ => return Err(DecodeError::UnknownCodec { codec: codec.into() }),
    };
    root(codec, schema, encoding).map(|root| Some((encoding, root)))
}

/// The type of the state, if the schema is of this encoding.
fn root<'a>(codec: &str, schema: Option<&'a Schema>, encoding: Encoding) -> Result<&'a Type, DecodeError> {
    match schema {
        None => Err(DecodeError::NoSchema { codec: codec.into() }),
        Some(schema) if schema.encoding() != encoding => {
            Err(DecodeError::OtherEncoding { codec: codec.into(), found: schema.encoding() })
        }
        Some(schema) => Ok(schema.root()),
    }
}

fn message_pack<'de, S: DeserializeSeed<'de>>(payload: &[u8], seed: S) -> Result<S::Value, DecodeError> {
    let mut rest = payload;
    let decoded = {
        let mut deserializer = Deserializer::new(&mut rest);
        // Every value takes at least one byte, and no memory is reserved for values that are only
        // claimed.
        deserializer.set_max_depth(MAX_LEVELS as usize + 1);
        seed.deserialize(&mut deserializer)
    };
    let at = payload.len() - rest.len();
    match decoded {
        Ok(value) if rest.is_empty() => Ok(value),
        Ok(_) => Err(DecodeError::Left { bytes: rest.len() }),
        Err(Error::DepthLimitExceeded) => Err(DecodeError::TooDeep),
        Err(Error::InvalidMarkerRead(error) | Error::InvalidDataRead(error))
            if error.kind() == ErrorKind::UnexpectedEof =>
        {
            Err(DecodeError::Payload { at, reason: "the payload ends before the value does".into() })
        }
        Err(error) => Err(DecodeError::Payload { at, reason: error.to_string() }),
    }
}

/// Makes JSON of any value.
#[derive(Clone, Copy)]
struct Json<'b> {
    /// What a value that a schema describes may still cost. Lengths are charged to it before.
    budget: Option<&'b Budget>,
}

impl Json<'_> {
    /// The capacity to reserve for so many values: none if their number is only claimed.
    fn capacity(self, count: Option<usize>) -> usize {
        self.budget.and(count).unwrap_or(0)
    }
}

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(value::signed(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(value::unsigned(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value::float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(value.iter().copied().map(Value::from).collect())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    /// An extension of MessagePack: an integer of 128 bits, or its type and its bytes.
    fn visit_newtype_struct<D: de::Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        let extension = inner.deserialize_any(self)?;
        Ok(wide(&extension).unwrap_or(extension))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(self.capacity(elements.size_hint()));
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::with_capacity(self.capacity(entries.size_hint()));
        while let Some(key) = entries.next_key_seed(JsonKey(self))? {
            let value = entries.next_value_seed(self)?;
            // Of equal keys of Postcard, the last is kept.
            if self.budget.is_none() && members.contains_key(&key) {
                return Err(de::Error::custom(format_args!("a map has two keys that are {key:?} as JSON")));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// Makes the text of a map's key.
struct JsonKey<'b>(Json<'b>);

impl<'de> DeserializeSeed<'de> for JsonKey<'_> {
    type Value = String;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let value = match deserializer.deserialize_any(self.0)? {
            Value::String(text) => return Ok(text),
            value => value,
        };
        let text = value::key(&value).map_err(de::Error::custom)?;
        if let Some(budget) = self.0.budget {
            // The decoder finds out if it is too much.
            let _ = budget.text(&text);
        }
        Ok(text)
    }
}

/// The integer of 128 bits that an extension holds.
fn wide(extension: &Value) -> Option<Value> {
    let [kind, bytes] = extension.as_array()?.as_slice() else { return None };
    let bytes = bytes.as_array()?.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
    let number = bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()?;
    match i8::try_from(kind.as_i64()?) {
        Ok(EXTENSION_I128) => Some(value::signed(i128::from_be_bytes(number))),
        Ok(EXTENSION_U128) => Some(value::unsigned(u128::from_be_bytes(number))),
        _ => None,
    }
}
