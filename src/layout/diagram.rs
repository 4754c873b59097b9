//! Draws the layout from the constants, and checks that `docs/layout.md` shows exactly that.

use super::segment::slot;
use super::{Geometry, WORD_BYTES, control, segment};

/// Rows of a table: the first word, how many words, name, meaning.
type Row = (usize, usize, &'static str, &'static str);

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| byte | bytes | name | meaning |\n|---:|---:|---|---|\n");
    for (word, words, name, meaning) in rows {
        text += &format!("| {} | {} | {name} | {meaning} |\n", word * WORD_BYTES, words * WORD_BYTES);
    }
    text
}

fn control_page() -> String {
    let text = |text: control::Text| 1 + text.max / WORD_BYTES;
    table(&[
        (control::READY, 1, "ready", "magic `tearls` and the layout's version; stored last"),
        (control::INSTANCE, 1, "instance", "random id of this channel; takeovers keep it"),
        (control::MAX_STATE_LEN, 1, "max state len", "maximum payload bytes of a state"),
        (control::FINGERPRINT, 1, "fingerprint", "of codec and type name; compared on attach"),
        (control::CHECKSUM, 1, "checksum", "1 if slots carry a CRC32C"),
        (control::MODE, 1, "mode", "permission bits of the channel's objects"),
        (
            control::FEATURES_REQUIRED,
            1,
            "features required",
            "a process that doesn't know one of these bits must not attach",
        ),
        (control::FEATURES_OPTIONAL, 1, "features optional", "bits that a process may ignore"),
        (control::DEPTH, 1, "depth", "slots in the ring of each of the first segments"),
        (control::STRIDE, 1, "stride", "words from one of their slots to the next"),
        (control::CAPACITY, 1, "capacity", "payload bytes of one of their slots"),
        (control::PINS, 1, "pins", "number of pins, and of the spare slots of each segment"),
        (control::PUBLISHED, 1, "**published**", "number of the latest publication; hot"),
        (control::GENERATION, 2, "**generation** A, B", "of the current segment of each side; hot"),
        (control::STATE, 1, "**state**", "0 open, 1 closed and lingering, 2 removed; hot"),
        (control::PID, 1, "pid", "of the writer, in its own PID namespace"),
        (control::START_TIME, 1, "start time", "of the writer, in clock ticks since boot, or 0"),
        (control::BOOT_ID, 2, "boot id", "of the system that the writer runs on"),
        (control::PID_NAMESPACE, 1, "pid namespace", "inode"),
        (control::INCARNATION, 1, "incarnation", "number of writers that the channel has had"),
        (
            control::WAITERS,
            1,
            "waiters",
            "instance of the registry whose waiters' page the writer uses, or 0",
        ),
        (
            control::WAKE_MODE,
            1,
            "wake mode",
            "0 wakes no waiter, 1 relies on the waiter's barriers, 2 has fences",
        ),
        (control::GROWTHS, 1, "growths", "number of segments that were replaced"),
        (control::HEARTBEAT, 1, "heartbeat", "time of the writer's last heartbeat, or 0"),
        (
            control::HEARTBEAT_INTERVAL,
            1,
            "heartbeat interval",
            "promised nanoseconds from one heartbeat to the next, or 0",
        ),
        (control::OPENED, 1, "opened", "time at which the writer opened the channel, or 0"),
        (
            control::TIMESTAMPS,
            1,
            "timestamps",
            "of publications: 0 to the nanosecond, 1 to the kernel's tick, 2 none; the higher 62 bits: number up \
             to which former writers' may be to the tick",
        ),
        (control::SLEPT, 1, "slept", "how long the machine had slept at the writer's last sign of life"),
        (control::ENDED, 1, "ended", "time at which the writer closed the channel or exited, or 0"),
        (
            control::DEFERRED,
            1,
            "deferred",
            "number up to which publications may lag behind their worker's state",
        ),
        (control::ORIGIN_INSTANCE, 1, "origin's instance", "of a mirrored channel: of its origin"),
        (
            control::ORIGIN_INCARNATION,
            1,
            "origin's incarnation",
            "number of writers that the origin has had; stored after what follows",
        ),
        (control::ORIGIN_PID, 1, "origin's pid", "of the origin's writer, on its host"),
        (
            control::ORIGIN_WRITER,
            1,
            "origin's writer",
            "0 not told, 1 alive, 2 stopped, 3 dead, 4 exited, 5 closed, 6 unknown, 7 unreachable",
        ),
        (control::NEWS, 1, "news", "time of the last news of the origin, or 0"),
        (
            control::UNREACHABLE,
            1,
            "unreachable",
            "time of the last news before the origin became unreachable, or 0",
        ),
        (control::NAMESPACE.word, text(control::NAMESPACE), "namespace", "length, then the full name"),
        (control::CHANNEL.word, text(control::CHANNEL), "channel", "length, then the full name"),
        (control::CODEC.word, text(control::CODEC), "codec", "length, then its name"),
        (
            control::TYPE_NAME.word,
            text(control::TYPE_NAME),
            "type name",
            "length, then the name, cut if it is longer; of a mirrored channel 448 bytes",
        ),
        (
            control::HOST.word,
            text(control::HOST),
            "host",
            "of a mirrored channel: length, then the origin's host",
        ),
        (control::SCHEMA_BYTES, 1, "schema bytes", "length of the schema, or 0"),
        (control::SCHEMA_FINGERPRINT, 1, "schema fingerprint", "of the schema, or 0"),
        (control::SCHEMA, 0, "schema", "padded with zeroes to a multiple of 64; then slots A, slots B"),
    ])
}

fn segment_header() -> String {
    table(&[
        (segment::READY, 1, "ready", "as in the control page"),
        (segment::INSTANCE, 1, "instance", "of the channel that it belongs to"),
        (segment::SIDE, 1, "side", "0 for A, 1 for B"),
        (segment::GENERATION, 1, "generation", "number among the segments of its side, from 2"),
        (segment::DEPTH, 1, "depth", "slots in the ring, a power of two"),
        (segment::STRIDE, 1, "stride", "words from one slot to the next"),
        (segment::CAPACITY, 1, "capacity", "payload bytes of a slot"),
        (segment::SLOTS, 0, "slots", "the first slot begins here; each begins at a multiple of 64"),
    ])
}

fn slot_words() -> String {
    table(&[
        (
            slot::STAMP,
            1,
            "**stamp**",
            "2n−1 while publication n is written, 2n when it is whole, 0 before the first, or taken back by a successor or a dropped loan",
        ),
        (slot::LENGTH, 1, "length", "payload bytes"),
        (
            slot::TIME,
            1,
            "time",
            "nanoseconds since boot, 0 if not recorded; negative (two's complement) of a restored state from before the boot",
        ),
        (
            slot::CHECKSUM,
            1,
            "checksum",
            "CRC32C of number and payload, or 0; on a mirrored channel the origin's number",
        ),
        (slot::PAYLOAD, 0, "payload", "padded with zeroes to a word"),
    ])
}

fn pins() -> String {
    use super::pins::{HOLDERS, MAX, PINS, VIEWERS};
    table(&[
        (PINS, MAX, "**pins**", "number of the publication that the holder views in place, or 0"),
        (HOLDERS, MAX, "holders", "number of the reader that has the pin, or 0"),
        (VIEWERS, 1, "viewers", "number of announcements of readers that pin"),
    ])
}

fn block() -> String {
    use super::block::{
        CONTENTS, CREATED, FEATURES_REQUIRED, INSTANCE, LABEL, LEN, NAME, NAMESPACE, READY, STATE,
    };
    let text = |text: control::Text| 1 + text.max / WORD_BYTES;
    table(&[
        (READY, 1, "ready", "as in the control page"),
        (INSTANCE, 1, "instance", "random; differs between the blocks that had this name"),
        (LEN, 1, "length", "bytes of the contents"),
        (FEATURES_REQUIRED, 1, "features required", "as in the control page; none yet"),
        (STATE, 1, "**state**", "0, or 2: removed"),
        (control::PID, 5, "owner", "pid, start time, boot id, pid namespace, as in the control page"),
        (CREATED, 1, "created", "time at which the owner created the block"),
        (NAMESPACE.word, text(NAMESPACE), "namespace", "length, then the full name"),
        (NAME.word, text(NAME), "name", "length, then the full name"),
        (LABEL.word, text(LABEL), "label", "length, then what the users say about the contents"),
        (CONTENTS, 0, "contents", "padded to a page; at least one page"),
    ])
}

fn registry_header() -> String {
    use super::registry::{self, Chunk, waiters};
    let (text, first) = (|text: control::Text| 1 + text.max / WORD_BYTES, Chunk(0));
    table(&[
        (registry::READY, 1, "ready", "as in the control page"),
        (registry::INSTANCE, 1, "instance", "random; differs between tables of one namespace"),
        (registry::CHANGES, 1, "**changes**", "number of changes"),
        (registry::HIGH, 1, "**high**", "high-water mark: entries from here on were never used"),
        (registry::ENDED, 1, "**ended**", "1 if this table has been, or is about to be, unlinked"),
        (registry::DIRTY, 1, "dirty", "1 during a change"),
        (registry::LAST, 1, "last", "number of the last chunk"),
        (registry::COUNT, 1, "count", "number of used entries"),
        (registry::FREE, 1, "free", "the first free entry below *high*, plus one, or 0"),
        (registry::CURSOR, 1, "cursor", "the entry at which the next look for dead writers begins"),
        (registry::NAMESPACE.word, text(registry::NAMESPACE), "namespace", "length, then the full name"),
        (
            first.mark(0),
            registry::FIRST,
            "marks",
            "per entry: a hash of its channel's name, or the next free one",
        ),
        (first.index(), first.index_words(), "index", "hash table of the entries, while there is no chunk"),
        (first.entry(0), registry::FIRST * registry::entry::WORDS, "entries", "616 bytes each"),
        (waiters::START, waiters::WORDS, "waiters", "the waiters' page"),
    ])
}

fn registry_chunk() -> String {
    use super::registry::{self, Chunk};
    let chunk = Chunk(3);
    table(&[
        (registry::READY, 1, "ready", "as in the control page"),
        (registry::INSTANCE, 1, "instance", "of the registry"),
        (registry::NUMBER, 1, "number", "of the chunk: here 3"),
        (chunk.mark(chunk.start()), chunk.end() - chunk.start(), "marks", "of its entries"),
        (chunk.index(), chunk.index_words(), "index", "of all entries, while this is the last chunk"),
        (
            chunk.entry(chunk.start()),
            (chunk.end() - chunk.start()) * registry::entry::WORDS,
            "entries",
            "616 bytes each",
        ),
    ])
}

fn waiters_page() -> String {
    use super::registry::waiters::{ANNOUNCED, GROUP_WAKE_UPS, GROUPS, INSTANCE, WAKE_UPS};
    table(&[
        (INSTANCE, 1, "instance", "of the registry that the page belongs to; 0 after its end"),
        (WAKE_UPS, 1, "**wake-ups**", "by writers of any group"),
        (ANNOUNCED, GROUPS, "**announcements**", "counters; the hash of a channel's name selects its group"),
        (GROUP_WAKE_UPS, GROUPS, "**group wake-ups**", "by the writers of each group"),
    ])
}

/// Default sizes of channels of some capacities.
fn sizes() -> String {
    let mut text = String::from(
        "| capacity asked | slots per segment | capacity given | bytes per channel |\n|---:|---:|---:|---:|\n",
    );
    for asked in [1, 64, 256, 928, 4 << 10, 64 << 10, 1 << 20] {
        let geometry = Geometry::fit_first(control::SCHEMA, asked, None).unwrap();
        let (depth, given) = (geometry.depth(), geometry.capacity());
        text += &format!("| {asked} | {depth} | {given} | {} |\n", geometry.first_bytes(control::SCHEMA));
    }
    text
}

#[test]
fn the_documentation_shows_these_constants() {
    let documented = include_str!("../../docs/layout.md");
    let objects = [control_page(), segment_header(), registry_header(), waiters_page()];
    for table in objects.into_iter().chain([slot_words(), sizes(), registry_chunk(), pins(), block()]) {
        assert!(documented.contains(&table), "docs/layout.md should contain:\n{table}");
    }
}
