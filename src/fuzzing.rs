//! Entrances for the fuzz targets, in builds for fuzzing only.

use crate::channel::ChannelWriter;
use crate::channel::{
    AttachPolicy, ChannelName, ChannelReader, Format, ReaderOptions, RetryPolicy, WriterOptions,
};
use crate::layout::{Kind, Side, WORD_BYTES, control};
use crate::memory::MemoryMut;
use crate::segment::{Backend, Heap};
use std::time::Duration;

/// A control page and two segments of arbitrary bytes: attaching, taking a snapshot, and taking the channel over must
/// end with a result or a typed error.
pub fn arbitrary_image(page: &[u8], segments: [&[u8]; 2], generations: [u64; 2]) {
    let heap = Heap::new();
    let name = ChannelName::new("fuzz", "channel").expect("a valid name");
    let object = |kind, bytes: &[u8]| {
        let object =
            heap.create(&name.objects.object(kind), bytes.len().max(1), 0o600).expect("a new object");
        object.write(0, bytes);
    };
    object(Kind::Control, &page[..page.len().min(control::BYTES)]);
    for side in Side::BOTH {
        let bytes = segments[side.index()];
        let generation = generations[side.index()];
        object(Kind::Segment(side, generation), &bytes[..bytes.len() / WORD_BYTES * WORD_BYTES]);
    }
    read(&heap, &name);
    let options = WriterOptions::new(Format::new("bytes", "fuzz"));
    if let Ok(mut writer) = ChannelWriter::open(&heap, &name, &options) {
        let number = writer.publish(b"a state").ok();
        read(&heap, &name);
        assert!(number.is_none_or(|number| number > 0));
    }
}

/// A valid channel in which some words of the control page and of its segments are overwritten.
pub fn overwritten_words(words: &[(u8, u16, u64)]) {
    let heap = Heap::new();
    let name = ChannelName::new("fuzz", "channel").expect("a valid name");
    let options = WriterOptions::new(Format::new("bytes", "fuzz"));
    let mut writer = ChannelWriter::open(&heap, &name, &options).expect("a new channel");
    for len in 0..5 {
        writer.publish(&vec![7; len]).expect("a small state");
    }
    writer.set_linger(true);
    drop(writer);
    for &(object, word, value) in words {
        let kind = match object % 3 {
            0 => Kind::Control,
            1 => Kind::Segment(Side::A, 1),
            _ => Kind::Segment(Side::B, 1),
        };
        let memory = heap.reopen(&name.objects.object(kind)).expect("an object of the channel");
        memory.store(usize::from(word) % (control::BYTES / WORD_BYTES), value);
    }
    read(&heap, &name);
    if let Ok(mut writer) = ChannelWriter::open(&heap, &name, &options) {
        let _ = writer.publish(b"a state");
        read(&heap, &name);
    }
}

fn read(heap: &Heap, name: &ChannelName) {
    let none = Duration::ZERO;
    let options = ReaderOptions {
        attach: AttachPolicy { missing: none, not_ready: none },
        retry: RetryPolicy { attempts: 3, deadline: none },
        format: None,
    };
    if let Ok(mut reader) = ChannelReader::attach(heap, name, &options) {
        let mut payload = Vec::new();
        for _ in 0..2 {
            let _ = reader.snapshot(&mut &mut payload);
        }
    }
}
