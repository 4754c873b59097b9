//! Arbitrary messages of another host, to a mirror's sink and to its source.
#![no_main]

#[path = "../../mirror/tests/hostile/harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|messages: Vec<Vec<u8>>| {
    harness::to_a_sink(&messages);
    harness::to_a_source(&messages);
});
