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

/// A map's key.
pub(super) fn key(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
