//! The value of a payload: which decoder it needs, and the decoder of MessagePack, which needs no
//! schema.

use std::fmt;
use std::io::ErrorKind;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::{self, Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{DecodeError, MAX_LEVELS};
use super::{described, value};
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
    match codec {
        MessagePack::NAME => message_pack(payload),
        Postcard::NAME => described::postcard(root(codec, schema, Encoding::Postcard)?, payload),
        Pod::NAME => described::plain(root(codec, schema, Encoding::Pod)?, payload),
        _ => Err(DecodeError::UnknownCodec { codec: codec.into() }),
    }
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

fn message_pack(payload: &[u8]) -> Result<Value, DecodeError> {
    let mut rest = payload;
    let decoded = {
        let mut deserializer = Deserializer::new(&mut rest);
        // Every value takes at least one byte, and no memory is reserved for values that are only
        // claimed.
        deserializer.set_max_depth(MAX_LEVELS as usize + 1);
        Any::deserialize(&mut deserializer)
    };
    let at = payload.len() - rest.len();
    match decoded {
        Ok(Any(value)) if rest.is_empty() => Ok(value),
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

/// Any value.
struct Any(Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Any, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Any)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
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
        let extension = inner.deserialize_any(AnyVisitor)?;
        Ok(wide(&extension).unwrap_or(extension))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Any(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((Any(key), Any(value))) = entries.next_entry()? {
            let key = value::key(key).map_err(de::Error::custom)?;
            if members.contains_key(&key) {
                return Err(de::Error::custom(format_args!("a map has two keys that are {key:?} as JSON")));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
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
