//! Arbitrary records as a file of saved channels.
#![no_main]

libfuzzer_sys::fuzz_target!(|records: Vec<(u8, Vec<u8>)>| tearless::fuzzing::saved(&records));
