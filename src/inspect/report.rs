//! Results of inspections, as plain data.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::channel::{OriginInfo, SchemaInspection, WriterState};
use crate::clock::TimestampSource;
use crate::health::{Health, Signs, Thresholds};
use crate::layout::{Kind, ObjectNames, Side};
use crate::object::ObjectError;
use crate::seqlock::{ChannelState, WakeMode};

/// The contents of a channel's control page and segments at one moment, without the payloads: see
/// [`Namespace::inspect`](crate::Namespace::inspect).
///
/// While the writer lives, the numbers are of slightly different moments, because the writer does
/// not wait. The numbers of a slot belong together if its state is [`SlotState::Whole`]. A dead or
/// closed writer's channel is reported as the writer left it.
///
/// Values are untrusted, because any process that may write to the memory can change them, and
/// reported verbatim. Values that the inspection itself depends on are checked first, so it is safe
/// and bounded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The channel's name.
    pub channel: String,
    /// Its namespace's name.
    pub namespace: String,
    /// Random id of the channel, created with it and kept through takeovers.
    pub instance: u64,
    /// The codec's name. Text of another process, verbatim: it may hold control characters, so
    /// escape it before showing it.
    pub codec: String,
    /// The type's name, truncated if it is very long. Text of another process, as the codec's name.
    pub type_name: String,
    /// Fingerprint of codec and type name, which readers compare.
    pub fingerprint: u64,
    /// Whether payloads carry a CRC32C.
    pub checksum: bool,
    /// Permission bits that the writer requested, for example `0o600`; 0 if the page holds no such
    /// number.
    pub permissions: u32,
    /// Maximum length of a state, in bytes.
    pub max_state_len: u64,
    /// Numeric id of the user that owns the control page, according to the system.
    pub owner_uid: u32,
    /// Number of the latest publication, 0 before the first.
    pub publication: u64,
    /// The current generations of segments A and B.
    pub generations: [u64; 2],
    /// Whether, and how, the channel has ended.
    pub state: ChannelState,
    /// Process id of the current or last writer, in its own PID namespace.
    pub writer_pid: u64,
    /// Start time of that process, in clock ticks since boot (field 22 of `/proc/PID/stat`) as the
    /// machine's first time namespace counts them; 0 if unknown.
    pub start_time: u64,
    /// The number of writers that the channel has had.
    pub incarnation: u64,
    /// Time since the writer opened the channel; `None` if it neither timestamps its publications
    /// nor promises a heartbeat interval.
    pub opened_ago: Option<Duration>,
    /// Time since the writer's last heartbeat; `None` if there was none.
    pub heartbeat_age: Option<Duration>,
    /// The heartbeat interval that the writer promises; `None` if it promises none.
    pub heartbeat_interval: Option<Duration>,
    /// How long the machine has slept since the writer's last sign of life.
    pub slept: Duration,
    /// Time since the writer closed the channel and left its last state, or since its process
    /// exited ([`WriterState::Exited`]); `None` before that.
    pub ended_ago: Option<Duration>,
    /// Where the timestamps of publications come from.
    pub timestamps: TimestampSource,
    /// Publications up to this number may lag behind their worker's state
    /// ([`Skew::Deferred`](crate::hub::Skew::Deferred)); `u64::MAX` while the writer is a
    /// [`Syncer`](crate::syncer::Syncer) that does not promise to flush before effects.
    pub deferred: u64,
    /// How the writer wakes waiting readers.
    pub wake_mode: WakeMode,
    /// The number of segments replaced by larger or smaller ones, by all writers of the channel.
    pub growths: u64,
    /// By pin: the publication that a reader [views](crate::view) in place, or 0. Empty on a
    /// channel without pins.
    pub pinned: Vec<u64>,
    /// Length of the channel's schema according to its page, in bytes; `None` if it carries none.
    pub schema_bytes: Option<u64>,
    /// The state of that schema.
    pub schema: SchemaInspection,
    /// What a [mirrored](crate::mirror) channel is a copy of; `None` of any other channel. Of a
    /// mirrored channel, `writer_pid`, `start_time` and `incarnation` are those of the mirror on
    /// this host.
    pub origin: Option<OriginInfo>,
    /// State of the writer, determined before everything else.
    pub writer_state: WriterState,
    /// The current segments A and B, or why one can't be read: [`ObjectError::NotFound`] if its
    /// name was removed.
    pub segments: [Result<SegmentInspection, Arc<ObjectError>>; 2],
    /// Segments of the next generation: the writer is creating them or filling a loan there, or was
    /// when it died.
    pub next_segments: [Option<SegmentInspection>; 2],
}

/// The header and the slots of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInspection {
    /// Its generation, from 1.
    pub generation: u64,
    /// Slots in its ring.
    pub depth: u64,
    /// Bytes from one slot to the next.
    pub stride: u64,
    /// Payload bytes that fit into a slot.
    pub capacity: u64,
    /// Bytes of all its slots.
    pub bytes: u64,
    /// Its slots, in memory order.
    pub slots: Vec<SlotInspection>,
}

/// The header of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotInspection {
    /// Number of the publication according to the stamp; 0 if the slot is empty.
    pub publication: u64,
    /// State of the slot.
    pub state: SlotState,
    /// Length of the payload in bytes; 0 if there is none or it is being written.
    pub len: u64,
    /// Time since it was published; `None` if it has no timestamp, or is not whole.
    pub age: Option<Duration>,
    /// On a [mirrored](crate::mirror) channel, the number that the publication has on its host, if
    /// it is whole.
    pub origin_publication: Option<u64>,
    /// The time of day at which it was published, by the wall clock as it is set now.
    pub published_at: Option<SystemTime>,
}

/// State of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlotState {
    /// Never written, or taken back: by a successor, or when a loan was dropped.
    Empty,
    /// A publication is being written, perhaps as a loan; or its writer died while writing it.
    Writing,
    /// A publication is written and not yet announced, which takes nanoseconds; or its writer died
    /// in between. No reader returns it.
    Unannounced,
    /// A whole publication.
    Whole,
    /// A number that no writer stores here, or a length beyond the slot's capacity: another process
    /// wrote to the memory.
    Implausible,
}

impl Inspection {
    /// Health of the worker at the moment of the inspection: see [`Health`]. The thresholds are the
    /// default ones of a [`Hub`](crate::hub::Hub), which gives the same answer.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::judge(&self.signs(), Thresholds::default())
    }

    /// Time since the writer's last sign of life (a publication, a heartbeat, or the opening of the
    /// channel), [time asleep](Self::slept) included; `None` if none has a timestamp.
    #[must_use]
    pub fn silent(&self) -> Option<Duration> {
        self.signs().silent()
    }

    fn signs(&self) -> Signs {
        Signs {
            writer: self.writer_state,
            publication: self.publication,
            age: self.youngest().and_then(|slot| slot.age),
            heartbeat_age: self.heartbeat_age,
            opened_ago: self.opened_ago,
            heartbeat_interval: self.heartbeat_interval,
            slept: self.slept,
            ended_ago: self.ended_ago,
            news_age: self.origin.and_then(|origin| origin.news_age),
        }
    }

    /// The slot of the latest publication, or of one that overwrote it during the inspection.
    fn youngest(&self) -> Option<&SlotInspection> {
        let slots = self.segments.iter().flatten().flat_map(|segment| &segment.slots);
        slots.filter(|slot| slot.state == SlotState::Whole).max_by_key(|slot| slot.publication)
    }

    /// Number of the publication that a dead writer had begun and not announced; `None` if there is
    /// none, or the writer is neither [`WriterState::Dead`] nor [`WriterState::Exited`], or of
    /// another host.
    ///
    /// Readers get the publication before it. This one may be written in part.
    #[must_use]
    pub fn unfinished(&self) -> Option<u64> {
        // Of a mirrored channel, that is the state of another writer.
        if !matches!(self.writer_state, WriterState::Dead | WriterState::Exited) || self.origin.is_some() {
            return None;
        }
        // A writer begins a publication only after announcing the one before.
        let begun = self.publication.checked_add(1)?;
        let segments = self.segments.iter().flatten().chain(self.next_segments.iter().flatten());
        let mut slots = segments.flat_map(|segment| &segment.slots);
        slots.any(|slot| slot.publication == begun && slot.state.is_unfinished()).then_some(begun)
    }
}

impl SlotState {
    /// Whether the writer began the publication and did not announce it.
    fn is_unfinished(self) -> bool {
        matches!(self, SlotState::Writing | SlotState::Unannounced)
    }
}

/// A namespace that has objects in this machine's shared memory: see
/// [`namespaces`](crate::inspect::namespaces).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceInfo {
    /// Its name; `None` if no control page, block or registry that may be opened holds it.
    pub name: Option<String>,
    /// Numeric id of the user that owns the objects counted here.
    pub owner_uid: u32,
    /// Number of control pages, and thereby of channels.
    pub channels: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Number of objects.
    pub objects: u64,
    /// Resident bytes of those objects.
    pub bytes: u64,
    /// Whether their owner is trusted, so that they may be opened.
    pub readable: bool,
}

/// An object of this library in shared memory: see [`objects`](crate::inspect::objects).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name in its directory, such as `/dev/shm`.
    pub name: String,
    /// Its kind, according to its name.
    pub kind: ObjectKind,
    /// Its namespace; `None` if no control page or registry that may be opened holds that name.
    pub namespace: Option<String>,
    /// Its channel; `None` for a registry, or if no control page that may be opened claims the
    /// object.
    pub channel: Option<String>,
    /// The block that it is, if it is one and may be opened.
    pub block: Option<String>,
    /// Numeric id of the user that owns it.
    pub owner_uid: u32,
    /// Its permission bits, for example `0o600`.
    pub permissions: u32,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its resident bytes.
    pub resident: u64,
    /// Its state.
    pub state: ObjectState,
}

impl ObjectInfo {
    /// The layout version of the object, if it was opened and has one.
    #[must_use]
    pub fn layout_version(&self) -> Option<u64> {
        match self.state {
            ObjectState::Ready => Some(crate::layout::VERSION),
            ObjectState::OtherVersion { found } => Some(found),
            _ => None,
        }
    }
}

/// Kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// The table of a namespace's channels.
    Registry,
    /// A channel: its control page, schema and first segments.
    Control,
    /// A segment of a channel that has grown, for payloads.
    Segment {
        /// Its side.
        side: Side,
        /// Its generation, from 2. The control page holds the current one.
        generation: u64,
    },
    /// The schema of a channel of an earlier layout version.
    Schema,
    /// A [block](crate::block).
    Block,
    /// Unknown: made by a later version, or not by this library.
    Unknown,
}

/// State of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectState {
    /// It belongs to another user and was not opened.
    NotOpened,
    /// Its creator has not finished it, or died before that.
    Unfinished,
    /// It is complete, and has the layout version of this library.
    Ready,
    /// It has another layout version: another version of the library made it.
    OtherVersion {
        /// The version.
        found: u64,
    },
    /// It is no object of this library, although it has such a name.
    Foreign {
        /// What is wrong with it.
        reason: String,
    },
    /// It can't be opened.
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl ObjectKind {
    /// The kind of the object with this name.
    pub(super) fn of_name(object: &str) -> ObjectKind {
        if ObjectNames::chunk_of_object(object).is_some() {
            return ObjectKind::Registry;
        }
        if ObjectNames::is_block(object) {
            return ObjectKind::Block;
        }
        match ObjectNames::of_object(object).and_then(|names| names.kind_of(object)) {
            Some(Kind::Control) => ObjectKind::Control,
            Some(Kind::Segment(side, generation)) => ObjectKind::Segment { side, generation },
            Some(Kind::Schema) => ObjectKind::Schema,
            None => ObjectKind::Unknown,
        }
    }
}
