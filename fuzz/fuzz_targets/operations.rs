//! Any sequence of operations on a channel, compared with the model.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: (Option<u8>, bool, Vec<(u8, u16)>)| {
    tearless::fuzzing::operations(script.0, script.1, &script.2);
});
