//! A recursive type, and what must hold for any payload of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tearless::{error::CapError, Decode, Encode};

/// A type that nests in every way there is.
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

/// Any bytes as a payload: what is decoded can be encoded and decoded again; or it is a typed error.
pub fn check<C: Encode<Anything> + Decode<Anything>>(payload: &[u8]) {
    let mut scratch = Vec::new();
    match C::decode(payload) {
        Ok(value) => {
            let encoded = C::encode(&value, &mut scratch).expect("what was decoded");
            match C::decode(encoded) {
                // Not by `==`: NaN.
                Ok(again) => assert_eq!(format!("{value:?}"), format!("{again:?}")),
                // A payload that says the same in more bytes than it takes is allowed more elements.
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
