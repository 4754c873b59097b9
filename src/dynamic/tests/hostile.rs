//! Payloads and schemas that cannot be decoded, and hostile ones whose cost is limited.

use proptest::prelude::*;
use serde_json::json;

use super::super::{DecodeError, decode};
use crate::codec::{Encode, MessagePack};
use crate::schema::{SIZES_COMPUTED, Schema};

/// The Postcard schema of these bytes.
fn postcard(rest: &[u8]) -> Schema {
    Schema::from_bytes(&[&[1, 0], rest].concat()).unwrap()
}

/// The schema of plain data of these bytes.
fn plain(rest: &[u8]) -> Schema {
    Schema::from_bytes(&[&[1, 1], rest].concat()).unwrap()
}

/// The error of decoding a Postcard payload.
fn error(schema: &[u8], payload: &[u8]) -> DecodeError {
    decode("postcard", Some(&postcard(schema)), payload).unwrap_err()
}

fn at(error: &DecodeError) -> Option<usize> {
    match error {
        DecodeError::Payload { at, .. } => Some(*at),
        _ => None,
    }
}

const BOOL: u8 = 0;
const U8: u8 = 1;
const U16: u8 = 2;
const F64: u8 = 12;
const CHAR: u8 = 13;
const STRING: u8 = 16;
const BYTES: u8 = 17;
const UNIT: u8 = 18;
const SCHEMA: u8 = 19;
const OPTION: u8 = 20;
const SEQUENCE: u8 = 21;
const ARRAY: u8 = 22;
const MAP: u8 = 23;

#[test]
fn codecs_and_schemas_must_fit() {
    let schema = postcard(&[U8]);
    assert_eq!(decode("postcard", None, &[1]), Err(DecodeError::NoSchema { codec: "postcard".into() }));
    assert_eq!(decode("pod", None, &[1]), Err(DecodeError::NoSchema { codec: "pod".into() }));
    assert!(matches!(decode("pod", Some(&schema), &[1]), Err(DecodeError::OtherEncoding { .. })));
    assert_eq!(decode("bytes", None, &[1]), Err(DecodeError::UnknownCodec { codec: "bytes".into() }));
    assert_eq!(decode("message-pack", Some(&schema), &[1]), Ok(json!(1)), "MessagePack ignores the schema");
}

#[test]
fn errors_name_their_offset() {
    assert_eq!(at(&error(&[U8], &[])), Some(0));
    assert_eq!(at(&error(&[BOOL], &[2])), Some(0));
    assert_eq!(at(&error(&[OPTION, BOOL], &[1, 2])), Some(1));
    assert_eq!(at(&error(&[OPTION, BOOL], &[2, 2])), Some(0));
    assert_eq!(at(&error(&[STRING], &[1, 0xff])), Some(1));
    assert_eq!(at(&error(&[CHAR], &[2, b'a', b'b'])), Some(1));
    assert_eq!(at(&error(&[CHAR], &[0])), Some(1));
    assert_eq!(at(&error(&[U16], &[0xff, 0xff, 4])), Some(0));
    assert_eq!(at(&error(&[BYTES], &[5, 1, 2])), Some(1));
    assert_eq!(at(&error(&[SCHEMA], &[5, 1, 2])), Some(0));
    assert_eq!(error(&[U8], &[1, 2, 3]), DecodeError::Left { bytes: 2 });
    let one_variant = [25, 0, 1, 1, b'A', 0];
    assert_eq!(at(&error(&one_variant, &[1])), Some(0));
    assert_eq!(at(&decode("message-pack", None, &[0x92, 1]).unwrap_err()), Some(2));
    assert_eq!(decode("message-pack", None, &[1, 2]), Err(DecodeError::Left { bytes: 1 }));
}

#[test]
fn plain_data_has_its_length() {
    let array = plain(&[ARRAY, 3, U16]);
    assert_eq!(decode("pod", Some(&array), &[1, 0, 2, 0, 0xff, 0xff]), Ok(json!([1, 2, 65_535])));
    assert_eq!(decode("pod", Some(&array), &[0; 7]), Err(DecodeError::Left { bytes: 1 }));
    assert_eq!(at(&decode("pod", Some(&array), &[0; 5]).unwrap_err()), Some(4));
}

#[test]
fn plain_data_of_no_bytes_has_its_offset_in_the_payload_too() {
    let far = plain(&[24, 0, 2, 2, 0, U8, 4, UNIT]);
    assert_eq!(far.locate(&"[1]".parse().unwrap()).map(|found| found.offset), Some(4));
    assert_eq!(decode("pod", Some(&far), &[7, 0, 0, 0]), Ok(json!([7, null])));
    assert_eq!(at(&decode("pod", Some(&far), &[7]).unwrap_err()), Some(1));
}

#[test]
fn elements_without_bytes_are_limited() {
    assert!(decode("postcard", Some(&postcard(&[SEQUENCE, UNIT])), &[0x80, 8]).is_ok(), "1,024");
    let far_too_many = [0xff, 0xff, 0xff, 0xff, 0x7f];
    let refused = DecodeError::TooManyElements { len: 5 };
    assert_eq!(error(&[SEQUENCE, UNIT], &far_too_many), refused);
    assert_eq!(error(&[MAP, UNIT, UNIT], &far_too_many), refused);
    assert_eq!(error(&[SEQUENCE, ARRAY, 0xff, 0xff, 0x7f, UNIT], &[1]), {
        DecodeError::TooManyElements { len: 1 }
    });
    let array = plain(&[ARRAY, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, UNIT]);
    assert_eq!(decode("pod", Some(&array), &[]), Err(DecodeError::TooManyElements { len: 0 }));
}

#[test]
fn structs_without_bytes_are_limited() {
    // A list of structs of 5,000 units each: one byte claims 100 of them.
    let wide = [&[SEQUENCE, 24, 0, 2, 0x88, 39][..], &[UNIT; 5_000]].concat();
    assert_eq!(error(&wide, &[100]), DecodeError::TooManyElements { len: 1 });
    assert!(decode("postcard", Some(&postcard(&wide)), &[1]).is_ok());
}

#[test]
fn sizes_are_computed_once() {
    // A thousand arrays without elements, whose element type is a tuple of 9,000 types.
    let giant = [&[24, 0, 2, 0xa8, 0x46][..], &[0, UNIT].repeat(9_000)].concat();
    let schema = plain(&[&[ARRAY, 0xe8, 7, ARRAY, 0][..], &giant].concat());
    let before = SIZES_COMPUTED.get();
    let value = decode("pod", Some(&schema), &[]).unwrap();
    assert_eq!(value, json!(vec![json!([]); 1_000]));
    let computed = SIZES_COMPUTED.get() - before;
    assert!(computed < 3 * 9_003, "{computed} sizes computed for 9,003 types");
}

#[test]
fn names_are_charged() {
    // A list of structs of six units with long names: no element takes a byte.
    let name = |letter: u8| [&[0x80, 2][..], &[letter; 256], &[UNIT]].concat();
    let fields: Vec<u8> = (b'a'..b'g').flat_map(name).collect();
    let schema = [&[SEQUENCE, 24, 0, 3, 6][..], &fields].concat();
    // 300 of them.
    let value = decode("postcard", Some(&postcard(&schema)), &[0xac, 2]).unwrap();
    assert!(value.to_string().len() > 300 * 6 * 256);
    assert_eq!(error(&schema, &[0x80, 8]), DecodeError::TooLarge { len: 2 }, "1,024");
}

#[test]
fn message_pack_is_limited_in_depth() {
    let nested = |levels: usize| [vec![0x91; levels], vec![1]].concat();
    assert!(decode("message-pack", None, &nested(128)).is_ok());
    assert_eq!(decode("message-pack", None, &nested(129)), Err(DecodeError::TooDeep));
    assert_eq!(decode("message-pack", None, &nested(130)), Err(DecodeError::TooDeep));
    assert_eq!(decode("message-pack", None, &nested(1_000_000)), Err(DecodeError::TooDeep));
    let claims = [0xdd, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(at(&decode("message-pack", None, &claims).unwrap_err()), Some(6));
    let text = [0xdb, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(decode("message-pack", None, &text).is_err());
}

#[test]
fn keys_of_keys_do_not_explode() {
    // Maps of one entry, whose key is a map of one entry, …: the quotes double with each level.
    let nested = |levels: usize| [vec![0x81; levels], vec![0xc0; levels + 1]].concat();
    assert!(decode("message-pack", None, &nested(8)).is_ok());
    assert!(matches!(decode("message-pack", None, &nested(100)), Err(DecodeError::Payload { .. })));
    let schema = [vec![MAP; 30], vec![UNIT; 31]].concat();
    assert!(matches!(error(&schema, &[1; 30]), DecodeError::Payload { .. }));
}

#[test]
fn numbers_that_json_lacks_are_text() {
    let float = |number: f64| decode("postcard", Some(&postcard(&[F64])), &number.to_le_bytes()).unwrap();
    assert_eq!(float(f64::NAN), json!("NaN"));
    assert_eq!(float(f64::INFINITY), json!("inf"));
    assert_eq!(float(f64::NEG_INFINITY), json!("-inf"));
    assert_eq!(decode("message-pack", None, &[0xca, 0x7f, 0xc0, 0, 0]), Ok(json!("NaN")));
    // A map with a binary key, and an extension.
    assert_eq!(decode("message-pack", None, &[0x81, 0xc4, 2, 7, 8, 0xc0]), Ok(json!({ "[7,8]": null })));
    assert_eq!(decode("message-pack", None, &[0xd4, 5, 9]), Ok(json!([5, [9]])));
}

#[test]
fn wide_integers_of_message_pack_are_numbers_or_texts() {
    let payload =
        |number: u128| <MessagePack as Encode<u128>>::encode(&number, &mut Vec::new()).map(<[u8]>::to_vec);
    let value = |number| decode("message-pack", None, &payload(number).unwrap());
    assert_eq!(value(0x0102), Ok(json!(0x0102)));
    assert_eq!(value(u64::MAX.into()), Ok(json!(u64::MAX)));
    assert_eq!(value(1 << 64), Ok(json!("18446744073709551616")));
    // As other programs may write them, and other extensions.
    let extension =
        |kind: u8, len: usize| [&[0xc7, u8::try_from(len).unwrap(), kind][..], &vec![0xff; len]].concat();
    assert_eq!(decode("message-pack", None, &extension(b'i', 16)), Ok(json!(-1)));
    assert_eq!(decode("message-pack", None, &extension(b'u', 16)), Ok(json!(u128::MAX.to_string())));
    assert_eq!(decode("message-pack", None, &extension(b'i', 15)), Ok(json!([105, vec![255; 15]])));
    assert_eq!(decode("message-pack", None, &extension(5, 16)), Ok(json!([5, vec![255; 16]])));
}

#[test]
fn keys_that_are_equal_as_json_are_an_error() {
    assert!(decode("message-pack", None, &[0x82, 1, 7, 2, 8]).is_ok());
    let error = decode("message-pack", None, &[0x82, 1, 7, 0xa1, b'1', 8]).unwrap_err().to_string();
    assert!(error.contains("two keys that are \"1\""), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_end_with_a_value_or_an_error(
        tree in proptest::collection::vec(prop_oneof![0_u8..4, 12_u8..32], 0..60),
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = decode("message-pack", None, &payload);
        for (codec, encoding) in [("postcard", 0), ("pod", 1)] {
            let bytes = [&[1, encoding], &tree[..]].concat();
            if let Ok(schema) = Schema::from_bytes(&bytes) {
                let _ = decode(codec, Some(&schema), &payload);
            }
        }
    }
}
