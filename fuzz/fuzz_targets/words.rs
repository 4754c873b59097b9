//! A valid channel with arbitrary words in arbitrary places.
#![no_main]

libfuzzer_sys::fuzz_target!(|words: Vec<(u8, u16, u64)>| tearless::fuzzing::overwritten_words(&words));
