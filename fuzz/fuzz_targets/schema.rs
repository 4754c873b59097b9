//! Any bytes as one schema, and as two that are compared.
#![no_main]

use tearless::schema::Schema;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    one(bytes);
    let Some((at, bytes)) = bytes.split_first() else { return };
    let (channel, reader) = bytes.split_at(usize::from(*at).min(bytes.len()));
    let (Some(channel), Some(reader)) = (one(channel), one(reader)) else { return };
    let differences = channel.differences(&reader);
    assert!(differences.len() <= 100);
    assert_eq!(differences.is_empty(), reader.differences(&channel).is_empty());
});

fn one(bytes: &[u8]) -> Option<Schema> {
    let schema = Schema::from_bytes(bytes).ok()?;
    assert_eq!(Schema::from_bytes(&schema.to_bytes()).as_ref(), Ok(&schema));
    assert!(schema.differences(&schema).is_empty());
    assert!(!schema.to_string().is_empty() || schema.fields().is_empty());
    Some(schema)
}
