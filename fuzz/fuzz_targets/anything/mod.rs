//! A recursive type, and what must hold for any payload of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tearless::{Decode, Encode, error::CapError};

/// A type with every form of nesting.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Anything {
    Nothing,
    Newtype(Box<Anything>),
    Tuple(u8, Option<Box<Anything>>),
    Struct { list: Vec<Anything>, text: String },
    Map(BTreeMap<i64, Anything>),
    Units(Vec<()>),
    Bytes([u8; 3], Vec<f32>),
}

/// Decodes any bytes. A decoded value can be encoded and decoded again; otherwise the error is
/// typed.
pub fn check<C: Encode<Anything> + Decode<Anything>>(payload: &[u8]) {
    let mut scratch = Vec::new();
    match C::decode(payload) {
        Ok(value) => {
            let encoded = C::encode(&value, &mut scratch).expect("a decoded value can be encoded");
            match C::decode(encoded) {
                // Not compared by `==`, because of NaN.
                Ok(again) => assert_eq!(format!("{value:?}"), format!("{again:?}")),
                // A payload that encodes the same value in more bytes than necessary may have more
                // elements.
                Err(error) => {
                    let cap = Some(&CapError::TooManyElements { len: encoded.len() });
                    assert!(encoded.len() < payload.len() && error.downcast_ref() == cap, "{error}");
                }
            }
        }
        Err(error) => {
            let text = error.to_string();
            let deep = error.downcast_ref() == Some(&CapError::TooDeep);
            assert_eq!(deep, text.contains("levels"), "{text}");
        }
    }
}
