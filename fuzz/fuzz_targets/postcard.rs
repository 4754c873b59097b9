//! Any bytes as a Postcard payload of a recursive type.
#![no_main]

mod anything;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| anything::check::<tearless::Postcard>(payload));
