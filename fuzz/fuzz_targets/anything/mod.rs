//! A recursive type, and what must hold for any payload of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tearless::{
    Decode, Encode,
    error::{CapError, EncodeError},
};

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
    Wide(i128, Option<u128>),
}

/// Decodes any bytes. A decoded value can be encoded and decoded again; otherwise the error is
/// typed.
pub fn check<C: Encode<Anything> + Decode<Anything>>(payload: &[u8]) {
    let mut scratch = Vec::new();
    match C::decode(payload) {
        Ok(value) => match C::encode(&value, &mut scratch) {
            Ok(encoded) => {
                let again = C::decode(encoded).expect("what was encoded can be decoded");
                // Not compared by `==`, because of NaN.
                assert_eq!(format!("{value:?}"), format!("{again:?}"));
            }
            // A payload that encodes the same value in more bytes than necessary may have more
            // elements.
            Err(error) => {
                let cap = error.downcast_ref::<EncodeError>().and_then(EncodeError::cap);
                let Some(CapError::TooManyElements { len }) = cap else { panic!("{error}") };
                assert!(len < payload.len(), "{error}");
            }
        },
        Err(error) => {
            let text = error.to_string();
            let deep = error.downcast_ref() == Some(&CapError::TooDeep);
            assert_eq!(deep, text.contains("levels"), "{text}");
        }
    }
}
