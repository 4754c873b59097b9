//! A valid channel whose words a second thread flips during its use.
#![no_main]

libfuzzer_sys::fuzz_target!(|flips: Vec<(u8, u16, u64)>| tearless::fuzzing::flipped_words(&flips));
