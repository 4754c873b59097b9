//! The control page: identity of the channel and of its writer, and its hot words. It is the
//! beginning of the channel's object; the schema and the first segments follow.

use super::{LINE_WORDS, PAGE_BYTES, WORD_BYTES};

/// Words of the control page.
pub(crate) const WORDS: usize = 192;

/// The ready word (`layout::READY`), stored last.
pub(crate) const READY: usize = 0;
/// The channel's instance id: random, made with the page, kept through takeovers.
pub(crate) const INSTANCE: usize = READY + 1;
/// Maximum payload bytes of a state.
pub(crate) const MAX_STATE_LEN: usize = INSTANCE + 1;
/// Fingerprint of codec and type name.
pub(crate) const FINGERPRINT: usize = MAX_STATE_LEN + 1;
/// 1 if slots carry a CRC32C, else 0.
pub(crate) const CHECKSUM: usize = FINGERPRINT + 1;
/// Permission bits of the channel's objects.
pub(crate) const MODE: usize = CHECKSUM + 1;
/// Required features, as bits: a process that doesn't know one of them must not attach.
pub(crate) const FEATURES_REQUIRED: usize = MODE + 1;
/// Optional features, as bits: a process may ignore them.
pub(crate) const FEATURES_OPTIONAL: usize = FEATURES_REQUIRED + 1;

/// The bit of [`FEATURES_REQUIRED`] of channels with pins: readers find slots by a table, and
/// announce themselves before they pin. Bit 0 was that of pins without announcements.
pub(crate) const FEATURE_PINS: u64 = 1 << 1;
/// The bit of [`FEATURES_REQUIRED`] of mirrored channels: they hold the states of another host's
/// channel, their slots the numbers of its publications, and their page what that host has told.
pub(crate) const FEATURE_MIRRORED: u64 = 1 << 2;

/// Slots in the ring of each of the first segments, a power of two.
pub(crate) const DEPTH: usize = LINE_WORDS;
/// Words from one of their slots to the next, a multiple of a line.
pub(crate) const STRIDE: usize = DEPTH + 1;
/// Payload bytes that fit in one of their slots.
pub(crate) const CAPACITY: usize = STRIDE + 1;
/// Number of pins, and of the spare slots of each segment; 0 if publications can't be pinned.
pub(crate) const PINS: usize = CAPACITY + 1;

/// The hot line. It is two lines away from everything else, because processors prefetch lines in
/// pairs.
pub(crate) const HOT: usize = 2 * LINE_WORDS;
/// Number of the latest publication, 0 before the first.
pub(crate) const PUBLISHED: usize = HOT;
/// Generation of segment A and, in the next word, of segment B.
pub(crate) const GENERATION: usize = PUBLISHED + 1;
/// `0` while the channel is in use; see `seqlock::ChannelState`.
pub(crate) const STATE: usize = GENERATION + 2;

/// The writer's line: the process that writes, or wrote last. For people, and for the cases in
/// which the lock does not answer.
pub(crate) const WRITER: usize = HOT + 2 * LINE_WORDS;
/// Process id of the writer, in its own PID namespace.
pub(crate) const PID: usize = WRITER;
/// Start time of the process in clock ticks since boot (field 22 of `/proc/PID/stat`), as the
/// machine's first time namespace counts them; 0 if it is not known.
pub(crate) const START_TIME: usize = PID + 1;
/// Boot id, two words.
pub(crate) const BOOT_ID: usize = START_TIME + 1;
/// Inode of the writer's PID namespace.
pub(crate) const PID_NAMESPACE: usize = BOOT_ID + 2;
/// Number of writers that the channel has had, the present one included.
pub(crate) const INCARNATION: usize = PID_NAMESPACE + 1;
/// Instance of the registry whose waiters' page the writer uses; 0 if the writer wakes no process.
pub(crate) const WAITERS: usize = INCARNATION + 1;
/// How the writer orders its load of the waiters' counter after its publication; see
/// `seqlock::WakeMode`.
pub(crate) const WAKE_MODE: usize = WAITERS + 1;

/// The statistics line: plain counters of the one writer.
pub(crate) const STATISTICS: usize = WRITER + 2 * LINE_WORDS;
/// Number of segments that were replaced by larger or smaller ones.
pub(crate) const GROWTHS: usize = STATISTICS;
/// Time of the writer's last heartbeat, in nanoseconds since the machine's boot; 0 before the
/// first.
pub(crate) const HEARTBEAT: usize = GROWTHS + 1;
/// Maximum nanoseconds between heartbeats that the writer promises; 0 if it promises nothing.
pub(crate) const HEARTBEAT_INTERVAL: usize = HEARTBEAT + 1;
/// Time at which the writer opened the channel, in nanoseconds since the machine's boot; 0 if it
/// neither timestamps its publications nor promises a heartbeat interval.
pub(crate) const OPENED: usize = HEARTBEAT_INTERVAL + 1;
/// Source of the publications' timestamps, in the lowest two bits: 0 to the nanosecond, 1 to the
/// kernel's tick, 2 none. Above them the number up to which publications are of former writers
/// whose timestamps may be to the tick.
pub(crate) const TIMESTAMPS: usize = OPENED + 1;
/// Nanoseconds for which the machine had slept since its boot, at the writer's last sign of life;
/// sleep during a shorter pause between two signs may be missing.
pub(crate) const SLEPT: usize = TIMESTAMPS + 1;
/// Time at which the writer closed the channel and left its last state, or at which its process
/// exited without closing it, in nanoseconds since the machine's boot; 0 before that.
pub(crate) const ENDED: usize = SLEPT + 1;
/// Number of the last publication that may lag behind its worker's state; all ones while the writer
/// is one that defers its publications.
pub(crate) const DEFERRED: usize = ENDED + 1;

/// The origin's words, of a mirrored channel: zero on any other. Instance of the origin's channel,
/// which never changes.
pub(crate) const ORIGIN_INSTANCE: usize = DEFERRED + 1;
/// Number of writers that the origin's channel has had; stored last of what the origin told.
pub(crate) const ORIGIN_INCARNATION: usize = ORIGIN_INSTANCE + 1;
/// Process id of the origin's writer, on its host.
pub(crate) const ORIGIN_PID: usize = ORIGIN_INCARNATION + 1;
/// State of the origin's writer, as its host told it: 0 before the first news, or
/// the number of the variant of `WriterState`, from 1.
pub(crate) const ORIGIN_WRITER: usize = ORIGIN_PID + 1;
/// Time of the last news of the origin, 0 before the first.
pub(crate) const NEWS: usize = ORIGIN_WRITER + 1;
/// Time of the last news before the origin became unreachable; 0 while it is reachable.
pub(crate) const UNREACHABLE: usize = NEWS + 1;

/// The texts, each a length in bytes in one word and then its bytes.
pub(crate) const TEXTS: usize = STATISTICS + 2 * LINE_WORDS;
/// The namespace's full name.
pub(crate) const NAMESPACE: Text = Text { word: TEXTS, max: 128 };
/// The channel's full name.
pub(crate) const CHANNEL: Text = NAMESPACE.then(256);
/// The codec's name.
pub(crate) const CODEC: Text = CHANNEL.then(64);
/// The type's name, cut if it is longer.
pub(crate) const TYPE_NAME: Text = CODEC.then(512);
/// The type's name on a mirrored channel: the same without the room of [`HOST`].
pub(crate) const MIRRORED_TYPE_NAME: Text =
    Text { word: TYPE_NAME.word, max: TYPE_NAME.max - WORD_BYTES - HOST_MAX };
/// The name of the host that a mirrored channel is of.
pub(crate) const HOST: Text = MIRRORED_TYPE_NAME.then(HOST_MAX);
const HOST_MAX: usize = 64;

/// Bytes of the channel's schema; 0 if there is none.
pub(crate) const SCHEMA_BYTES: usize = TYPE_NAME.end();
/// Fingerprint of the schema's bytes; 0 if there is none.
pub(crate) const SCHEMA_FINGERPRINT: usize = SCHEMA_BYTES + 1;

/// The schema's first word. The layout does not define the meaning of its bytes.
pub(crate) const SCHEMA: usize = WORDS;
/// Maximum bytes of a schema.
pub(crate) const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// The first slot of segment A, behind a schema of `schema_bytes`; the slots of segment B follow.
/// `None` if no schema is that long.
pub(crate) fn first_slot(schema_bytes: u64) -> Option<usize> {
    let bytes = usize::try_from(schema_bytes).ok().filter(|bytes| *bytes <= MAX_SCHEMA_BYTES)?;
    Some(SCHEMA + bytes.div_ceil(WORD_BYTES).next_multiple_of(LINE_WORDS))
}

/// Room for a text: a word for its length, then `max` bytes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    /// The word that holds the length.
    pub(crate) word: usize,
    /// Maximum number of bytes.
    pub(crate) max: usize,
}

impl Text {
    /// The word at which the bytes begin.
    pub(crate) const fn bytes_at(self) -> usize {
        self.word + 1
    }

    /// The part of `text` that fits, cut at the end of a character.
    pub(crate) fn cut(self, text: &str) -> &str {
        let mut ends = (0..=self.max.min(text.len())).rev();
        &text[..ends.find(|end| text.is_char_boundary(*end)).unwrap_or(0)]
    }

    pub(super) const fn end(self) -> usize {
        self.bytes_at() + self.max / WORD_BYTES
    }

    const fn then(self, max: usize) -> Text {
        Text { word: self.end(), max }
    }
}

const _: () = assert!(FEATURES_OPTIONAL < DEPTH && PINS < HOT && STATE < HOT + LINE_WORDS);
const _: () = assert!(WAKE_MODE < WRITER + LINE_WORDS && DEFERRED < STATISTICS + LINE_WORDS);
const _: () = assert!(UNREACHABLE < TEXTS && HOST.end() == TYPE_NAME.end());
const _: () = assert!(SCHEMA_FINGERPRINT < WORDS && WORDS.is_multiple_of(2 * LINE_WORDS));
const _: () = assert!(WORDS * WORD_BYTES < PAGE_BYTES);
