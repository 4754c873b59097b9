//! Every single byte of a channel's objects, changed to every other value: the result is a typed
//! error, or a state as it was published.

use super::*;
use crate::layout::segment::{self, slot};
use crate::layout::{Kind, PAGE_BYTES, Publication, WORD_BYTES, control};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::Backend;
use std::ops::Range;
use std::time::Duration;

/// Publications before a byte is changed: enough to fill both segments.
const PUBLICATIONS: u64 = 9;

/// Bytes of a state that fits in a first segment, and of one for which both sides grow.
const FITS: usize = 30;
const GROWS: usize = 700;

/// A channel without a writer.
struct Scene {
    heap: Heap,
    checksum: bool,
    len: usize,
}

/// The state of a publication.
fn content(number: u64, len: usize) -> Vec<u8> {
    let mut text = format!("the state of publication {number}").into_bytes();
    text.resize(len, b'.');
    text
}

fn options_with(checksum: bool) -> WriterOptions {
    WriterOptions { checksum, capacity: 16, depth: Some(2), ..options() }
}

impl Scene {
    fn new(checksum: bool, len: usize) -> Scene {
        let heap = Heap::new();
        let mut writer = open(&heap, &options_with(checksum)).unwrap();
        for number in 1..=PUBLICATIONS {
            writer.publish(&content(number, len)).unwrap();
        }
        assert_eq!(writer.growths() > 0, len == GROWS);
        kill(writer);
        Scene { heap, checksum, len }
    }

    fn object(&self, kind: Kind) -> Words {
        self.heap.reopen(&name().objects.object(kind)).unwrap()
    }

    /// The object with the segment of the last publication.
    fn segment(&self) -> Words {
        let side = Publication::new(PUBLICATIONS).unwrap().side();
        let page = self.object(Kind::Control);
        match page.load(control::GENERATION + side.index()) {
            segment::FIRST => page,
            generation => self.object(Kind::Segment(side, generation)),
        }
    }

    /// The words of the last publication's slot in that object.
    fn latest_slot(&self) -> Range<usize> {
        let object = self.segment();
        let behind = if self.len == GROWS { segment::SLOTS } else { control::WORDS };
        let slot = (behind..object.len()).find(|word| object.load(*word) == 2 * PUBLICATIONS).unwrap();
        slot..slot + slot::PAYLOAD + self.len.div_ceil(WORD_BYTES)
    }

    /// [`see`] with this scene's states.
    fn see(&self, reader: &mut ChannelReader, verified: bool) -> usize {
        see(reader, self.len, verified)
    }

    fn attach(&self) -> Result<ChannelReader, AttachError> {
        let retry = RetryPolicy { attempts: 2, deadline: Duration::ZERO };
        attach_with(&self.heap, ReaderOptions { retry, ..reader_options() })
    }

    /// Gives the bytes of `words` every other value, one at a time, and calls `check` each time.
    /// Returns the number of changes.
    fn change(&self, object: &Words, words: Range<usize>, mut check: impl FnMut(usize)) -> usize {
        let mut changes = 0;
        for word in words {
            let original = object.load(word);
            for (byte, change) in (0..WORD_BYTES).flat_map(|byte| (1..=255).map(move |change| (byte, change)))
            {
                object.store(word, original ^ (change << (8 * byte)));
                check(word);
                object.store(word, original);
                changes += 1;
            }
        }
        changes
    }
}

/// What a reader sees must be the state of some publication, if it sees anything. Returns the
/// number of publications that it saw.
///
/// The page's number of the latest publication may be changed like any other word: an older
/// publication may be shown instead, but under its own number.
fn see(reader: &mut ChannelReader, len: usize, verified: bool) -> usize {
    let mut payload = Vec::new();
    let seen = reader.snapshot(&mut &mut payload);
    assert!(payload.capacity() <= PAGE_BYTES, "no more than a segment has");
    let Ok(received) = seen else { return 0 };
    let number = received.publication();
    assert!(number <= PUBLICATIONS);
    if verified {
        assert_eq!(payload, content(number, len));
    }
    1
}

/// Half of a control page, so that two tests can run in parallel.
fn every_change_of_the_page(words: Range<usize>) {
    let scene = Scene::new(true, FITS);
    let page = scene.object(Kind::Control);
    let mut attached = scene.attach().unwrap();
    assert_eq!(scene.see(&mut attached, true), 1);
    let (mut new, mut old) = (0, 0);
    let len = words.len();
    let changes = scene.change(&page, words, |_| {
        if let Ok(mut reader) = scene.attach() {
            // A reader that attaches now may take the channel for one without checksums: that
            // changes no payload.
            new += scene.see(&mut reader, true);
        }
        old += scene.see(&mut attached, true);
    });
    assert_eq!(changes, len * WORD_BYTES * 255);
    assert!(0 < new && new < old && old <= changes, "{new} and {old} of {changes} were seen");
    assert_eq!(snapshot(&mut attached).unwrap(), (PUBLICATIONS, content(PUBLICATIONS, FITS)));
}

#[test]
fn the_first_half_of_a_control_page() {
    every_change_of_the_page(0..control::WORDS / 2);
}

#[test]
fn the_second_half_of_a_control_page() {
    every_change_of_the_page(control::WORDS / 2..control::WORDS);
}

#[test]
fn slots_of_former_publications_are_not_read() {
    let scene = Scene::new(true, FITS);
    let object = scene.object(Kind::Control);
    let latest = scene.latest_slot();
    let mut attached = scene.attach().unwrap();
    for words in [control::WORDS..latest.start, latest.end..object.len()] {
        scene.change(&object, words, |_| {
            assert_eq!(scene.see(&mut scene.attach().unwrap(), true) + scene.see(&mut attached, true), 2);
        });
    }
}

#[test]
fn the_header_of_a_grown_segment() {
    let scene = Scene::new(true, GROWS);
    let mut attached = scene.attach().unwrap();
    scene.see(&mut attached, true);
    let mut new = 0;
    let changes = scene.change(&scene.segment(), 0..segment::SLOTS, |_| {
        new += scene.see(&mut scene.attach().unwrap(), true);
        assert_eq!(scene.see(&mut attached, true), 1, "a header is read once, when it is mapped");
    });
    assert!(0 < new && new < changes / 4, "{new} of {changes}");
}

#[test]
fn the_slot_of_the_latest_publication() {
    for (checksum, len) in [(true, FITS), (false, FITS), (true, GROWS)] {
        let scene = Scene::new(checksum, len);
        let mut attached = scene.attach().unwrap();
        let object = scene.segment();
        let (mut new, mut old) = (0, 0);
        let changes = scene.change(&object, scene.latest_slot(), |_| {
            new += scene.see(&mut scene.attach().unwrap(), scene.checksum);
            old += scene.see(&mut attached, scene.checksum);
        });
        assert_eq!(new, old);
        assert!(0 < new && new < changes, "{new} of {changes}");
    }
}

/// Three changes of every byte, each on a channel of its own, because a writer's changes persist.
#[test]
fn a_successor_resumes_a_changed_page_or_makes_a_fresh_one_or_refuses() {
    a_successor_meets_a_changed_page(FITS, 1);
}

/// Its segments are elsewhere: the page need not be whole for them to be found.
#[test]
fn so_does_a_successor_of_a_channel_that_has_grown() {
    // A changed generation leaves a segment that no page names, for a cleanup.
    a_successor_meets_a_changed_page(GROWS, 3);
}

fn a_successor_meets_a_changed_page(len: usize, max_objects: usize) {
    let (mut resumed, mut fresh, mut refused) = (0, 0, 0);
    for (word, change) in (0..control::WORDS).flat_map(|word| {
        (0..WORD_BYTES).flat_map(move |byte| [1, 0x80, 0xff].map(|bits| (word, bits << (8 * byte))))
    }) {
        let scene = Scene::new(true, len);
        let page = scene.object(Kind::Control);
        page.store(word, page.load(word) ^ change);
        let Ok(mut writer) = open(&scene.heap, &options_with(true)) else {
            refused += 1;
            continue;
        };
        let number = writer.publish(b"a successor's").unwrap();
        assert_eq!(
            snapshot(&mut scene.attach().unwrap()).unwrap(),
            (number, b"a successor's".to_vec()),
            "{word}"
        );
        if number == 1 {
            fresh += 1;
        } else {
            resumed += 1;
        }
        drop(writer);
        assert!(scene.heap.names().len() <= max_objects, "word {word}: {:?}", scene.heap.names());
    }
    assert!(resumed > 0 && fresh > 0 && refused > 0, "{resumed} {fresh} {refused}");
    assert_eq!(resumed + fresh + refused, 3 * control::WORDS * WORD_BYTES);
}
