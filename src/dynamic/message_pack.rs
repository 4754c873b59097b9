//! MessagePack payloads, which say themselves what they consist of.

use std::fmt;
use std::io::ErrorKind;

use rmp_serde::Deserializer;
use rmp_serde::decode::Error;
use serde::de::{self, Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::budget::MAX_LEVELS;
use super::{DecodeError, number};

pub(super) fn decode(payload: &[u8]) -> Result<Value, DecodeError> {
    let mut rest = payload;
    let decoded = {
        let mut deserializer = Deserializer::new(&mut rest);
        // Every value takes a byte at least, and nothing is reserved for what is only claimed.
        deserializer.set_max_depth(MAX_LEVELS as usize);
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

/// Whatever there is.
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
        Ok(number::float(value))
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

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(AnyVisitor)
    }

    /// What MessagePack calls an extension: its type and its bytes.
    fn visit_newtype_struct<D: de::Deserializer<'de>>(self, inner: D) -> Result<Value, D::Error> {
        inner.deserialize_any(AnyVisitor)
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
            members.insert(number::key(key).map_err(de::Error::custom)?, value);
        }
        Ok(Value::Object(members))
    }
}
