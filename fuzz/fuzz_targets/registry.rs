//! A registry with words that no writer stores.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u8, Vec<(u16, u64)>)| tearless::fuzzing::registry(input.0, &input.1));
