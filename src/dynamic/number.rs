//! Numbers, and texts for what JSON has no number for.

use serde_json::{Number, Value};

pub(super) fn unsigned(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::from)
}

pub(super) fn signed(number: i128) -> Value {
    match (i64::try_from(number), u128::try_from(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => unsigned(number),
        _ => Value::String(number.to_string()),
    }
}

pub(super) fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

/// Most bytes of a key that is no string, as JSON. Quotes inside of it are escaped, so that in keys of keys of keys their
/// number grows as a power of two.
const MAX_KEY_BYTES: usize = 4096;

/// A map's key.
pub(super) fn key(value: Value) -> Result<String, String> {
    let text = match value {
        Value::String(text) => return Ok(text),
        other => other.to_string(),
    };
    match text.len() {
        0..=MAX_KEY_BYTES => Ok(text),
        len => Err(format!("a key that is no string has {len} bytes as JSON, and may have {MAX_KEY_BYTES}")),
    }
}
