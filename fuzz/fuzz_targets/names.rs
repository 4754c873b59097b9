//! Any text as names.
#![no_main]

libfuzzer_sys::fuzz_target!(|names: (&str, &str)| tearless::fuzzing::names(names.0, names.1));
