//! Any bytes as a payload of any schema, and as a path into its value.
#![no_main]

use tearless::dynamic::{FieldPath, decode, differences, leaves};
use tearless::schema::Schema;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((at, bytes)) = bytes.split_first() else { return };
    let (schema, payload) = bytes.split_at(usize::from(*at).min(bytes.len()));
    let schema = Schema::from_bytes(schema).ok();
    let path = str::from_utf8(payload).ok().and_then(|text| text.parse::<FieldPath>().ok());
    if let Some(path) = &path {
        assert_eq!(path.to_string().parse().as_ref(), Ok(path));
    }
    for codec in ["postcard", "pod", "message-pack"] {
        let Ok(value) = decode(codec, schema.as_ref(), payload) else { continue };
        for (path, leaf) in leaves(&value).found.into_iter().take(1_000) {
            assert_eq!(path.find(&value), Some(leaf));
            assert!(codec == "message-pack" || schema.as_ref().is_some_and(|schema| schema.may_have(&path)));
            if let Some(schema) = schema.as_ref().filter(|_| codec == "pod") {
                let located = schema.locate(&path).expect("a leaf of plain data has a place");
                assert!(located.offset + located.len <= payload.len() as u64);
            }
        }
        assert!(differences(&value, &value).is_empty());
        if let (Some(schema), Some(path)) = (&schema, &path) {
            let _ = (schema.locate(path), path.find(&value));
        }
    }
});
