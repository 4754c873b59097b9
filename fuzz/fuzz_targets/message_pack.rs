//! Any bytes as a MessagePack payload of a recursive type.
#![no_main]

mod anything;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| anything::check::<tearless::MessagePack>(payload));
