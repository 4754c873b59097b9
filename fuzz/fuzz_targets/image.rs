//! Arbitrary bytes as a control page and segments.
#![no_main]

libfuzzer_sys::fuzz_target!(|image: (Vec<u8>, Vec<u8>, Vec<u8>, [u64; 2])| {
    let (page, a, b, generations) = image;
    tearless::fuzzing::arbitrary_image(&page, [&a, &b], generations);
});
