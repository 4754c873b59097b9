//! Entry points of the fuzz targets, and what `ci/herd` compiles, in builds for them only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::channel::tests::model::{self, Crash, Operation};
use crate::channel::{
    AttachPolicy, ChannelName, Format, ReaderOptions, RetryPolicy, SchemaBytes, WriterOptions,
};
use crate::inspect;
use crate::layout::registry::Chunk;
use crate::layout::{self, Kind, ObjectNames, PAGE_BYTES, Side, WORD_BYTES, control};
use crate::memory::Words;
use crate::memory::{Memory, MemoryMut};
use crate::object::{Access, Backend, Heap};
use crate::registry::{ChannelInfo, ChannelWatch, Registry};

// Only for `ci/herd`: the published package has no tests.
#[cfg(tearless_litmus)]
#[path = "../tests/litmus/steps.rs"]
pub mod steps;

/// A channel's object and two grown segments of arbitrary bytes: attaching, taking a snapshot, and
/// taking the channel over must end with a result or a typed error.
pub fn arbitrary_image(page: &[u8], segments: [&[u8]; 2], generations: [u64; 2]) {
    let heap = Heap::new();
    let name = ChannelName::new("fuzz", "channel").expect("a valid name");
    let object = |kind, bytes: &[u8]| {
        let pages = bytes.len().max(1).next_multiple_of(PAGE_BYTES);
        let object = heap.create(&name.objects.object(kind), pages, Access::OWNER).expect("a new object");
        object.write(0, bytes);
        // Most inputs are ready, or nothing else of them would be read.
        object.store(control::READY, object.load(control::READY) ^ layout::READY);
    };
    object(Kind::Control, &page[..page.len().min(MAX_IMAGE)]);
    for side in Side::BOTH {
        let bytes = segments[side.index()];
        let generation = generations[side.index()];
        object(Kind::Segment(side, generation), &bytes[..bytes.len() / WORD_BYTES * WORD_BYTES]);
    }
    read(&heap, &name);
    let options = WriterOptions::new(Format::new("bytes", "fuzz"));
    if let Ok(mut writer) = crate::channel::open(&heap.shared(), &name, &options) {
        let number = writer.publish(b"a state").ok();
        read(&heap, &name);
        assert!(number.is_none_or(|number| number > 0));
    }
}

/// Arbitrary records as a file of saved channels, with checksums that match.
pub fn saved(records: &[(u8, Vec<u8>)]) {
    crate::saved::tests::arbitrary(records);
}

/// A valid channel, while a second thread flips some bits of its words, again and again. Snapshots
/// are taken at the same time.
///
/// The writer publishes at the same time: it has to bear the flips, too.
pub fn flipped_words(flips: &[(u8, u16, u64)]) {
    let heap = Heap::new();
    let name = ChannelName::new("fuzz", "channel").expect("a valid name");
    let options = WriterOptions::new(Format::new("bytes", "fuzz"));
    let mut writer = crate::channel::open(&heap.shared(), &name, &options).expect("a new channel");
    writer.publish(b"a state").expect("a small state");
    let objects = [0, 1].map(|part| part_of(&heap, &name, part));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for &(object, word, bits) in flips {
                    let memory = &objects[usize::from(object) % objects.len()];
                    let word = usize::from(word) % memory.len();
                    memory.store(word, memory.load(word) ^ bits);
                }
                thread::yield_now();
            }
        });
        for len in [3, 40, 400, 4_000] {
            read(&heap, &name);
            let _ = writer.publish(&vec![1; len]);
        }
        read(&heap, &name);
        done.store(true, Ordering::Relaxed);
    });
}

/// Any text as the name of a namespace and of a channel: a typed error, or a channel that works.
pub fn names(namespace: &str, channel: &str) {
    let heap = Heap::new();
    let Ok(name) = ChannelName::new(namespace, channel) else { return };
    let options = WriterOptions::new(Format::new("bytes", channel));
    let mut writer = crate::channel::open(&heap.shared(), &name, &options).expect("a new channel");
    assert_eq!(writer.publish(b"a state").expect("a small state"), 1);
    let options = ReaderOptions { attach: NO_PATIENCE, ..ReaderOptions::default() };
    let mut reader = crate::channel::attach(&heap.shared(), &name, &options).expect("the channel");
    let mut payload = Vec::new();
    reader.snapshot(&mut &mut payload).expect("the state");
    assert_eq!(payload, b"a state");
}

/// Any sequence of operations on a channel, compared with the model.
pub fn operations(depth: Option<u8>, checksum: bool, operations: &[(u8, u16)]) {
    let operations = operations.iter().map(|&(kind, number)| {
        let size = usize::from(number);
        match kind % 13 {
            0 => Operation::Publish { len: size % 64 },
            1 => Operation::Loan { len: size % 64, publishes: true },
            2 => {
                Operation::Loan { len: size % (model::MAX_STATE_LEN + 2), publishes: size.is_multiple_of(2) }
            }
            3 => Operation::Publish { len: size % (model::MAX_STATE_LEN + 2) },
            4 => Operation::Shrink,
            5 => Operation::Attach,
            6..=8 => Operation::Snapshot { reader: size % 4 },
            9 => Operation::Close { linger: size % 2 == 1 },
            10 => Operation::Crash(Crash::ALL[size % Crash::ALL.len()]),
            11 => Operation::Open,
            _ => Operation::Remove,
        }
    });
    let operations: Vec<_> = operations.collect();
    model::compare(depth.map(|depth| usize::from(depth % 4) + 1), checksum, &operations);
}

/// The words of the control page, or those behind it: the schema and the first segments.
fn part_of(heap: &Heap, name: &ChannelName, number: u8) -> Words {
    let all = heap.reopen(&name.objects.object(Kind::Control)).expect("the channel's object");
    let (start, len) = match number % 3 {
        0 => (0, control::WORDS),
        _ => (control::WORDS, all.len() - control::WORDS),
    };
    all.part(start, len).expect("a part")
}

/// A valid channel in which some words are overwritten.
pub fn overwritten_words(words: &[(u8, u16, u64)]) {
    let heap = Heap::new();
    let name = ChannelName::new("fuzz", "channel").expect("a valid name");
    let schema = SchemaBytes::new(b"as many bytes as it takes to be worth a look");
    let options = WriterOptions { schema, ..WriterOptions::new(Format::new("bytes", "fuzz")) };
    let mut writer = crate::channel::open(&heap.shared(), &name, &options).expect("a new channel");
    for len in 0..5 {
        writer.publish(&vec![7; len]).expect("a small state");
    }
    writer.set_linger(true);
    drop(writer);
    for &(object, word, value) in words {
        let memory = part_of(&heap, &name, object);
        memory.store(usize::from(word) % memory.len(), value);
    }
    read(&heap, &name);
    if let Ok(mut writer) = crate::channel::open(&heap.shared(), &name, &options) {
        let _ = writer.publish(b"a state");
        read(&heap, &name);
    }
}

/// A registry in which some words are overwritten: listing, entering and striking end with a result
/// or a typed error, and what is entered afterwards is listed.
pub fn registry(channels: u8, words: &[(u16, u64)]) {
    let backend = Heap::new().shared();
    let registry = Registry::of(&backend, "fuzz");
    let channel = |name: &str| ChannelName::new("fuzz", name).expect("a valid name");
    let open = |name: &str| {
        let options = WriterOptions::new(Format::new("bytes", "fuzz"));
        crate::channel::open(&backend, &channel(name), &options).expect("a new channel")
    };
    let writers: Vec<_> = (0..=channels % 20).map(|number| open(&format!("worker-{number}"))).collect();
    for writer in &writers {
        registry.register(&ChannelInfo::of(writer), Access::OWNER).expect("room");
    }
    let prefix = ObjectNames::prefix("fuzz");
    let chunk = |number| ObjectNames::chunk_of_prefix(&prefix, number);
    for &(word, value) in words {
        // The words of the objects, one after the other; a number beyond them removes a chunk.
        let mut word = usize::from(word);
        let found = (0..Chunk::MAX.0).find_map(|number| {
            let memory = backend.reopen(&chunk(number)).ok()?;
            if let Some(rest) = word.checked_sub(memory.len()) {
                word = rest;
                return None;
            }
            Some(memory)
        });
        match found {
            Some(memory) => memory.store(word, value),
            None => drop(backend.remove_leftover(&chunk(1 + word % 4))),
        }
    }
    assert!(registry.list().map_or(0, |listed| listed.len()) <= 32, "each entry has a place");
    let _ = registry.waiters_page();
    let _ = ChannelWatch::new(Arc::clone(&backend), "fuzz").changed();
    let new = ChannelInfo::of(&open("one more"));
    if registry.register(&new, Access::OWNER).is_ok() {
        assert!(registry.list().is_ok_and(|listed| listed.contains(&new)), "it is listed");
        registry.deregister(&[(&new.name, new.instance)]).expect("its entry");
        assert!(registry.list().is_ok_and(|listed| !listed.contains(&new)), "it is removed");
    }
}

/// Bytes of a channel's object, at most.
const MAX_IMAGE: usize = 4 * PAGE_BYTES;

const NO_PATIENCE: AttachPolicy = AttachPolicy { missing: Duration::ZERO, not_ready: Duration::ZERO };

fn read(heap: &Heap, name: &ChannelName) {
    let retry = RetryPolicy { attempts: 3, deadline: Duration::ZERO };
    let options = ReaderOptions { attach: NO_PATIENCE, retry, ..ReaderOptions::default() };
    if let Ok(mut reader) = crate::channel::attach(&heap.shared(), name, &options) {
        let _ = reader.schema_bytes();
        let mut payload = Vec::new();
        for _ in 0..2 {
            let _ = reader.snapshot(&mut &mut payload);
        }
        let _ = inspect::inspect(&heap.shared(), name).map(|told| told.unfinished());
    }
}
