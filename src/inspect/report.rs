//! What an inspection of a channel tells.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{SchemaInspection, WriterState};
use crate::clock::TimestampSource;
use crate::health::{Health, Signs, Thresholds};
use crate::object::ObjectError;
use crate::seqlock::{ChannelState, WakeMode};

/// All that stood in a channel's control page and segments when it was looked at, without the payloads: see
/// [`Namespace::inspect`](crate::Namespace::inspect).
///
/// While the writer lives, the numbers are of slightly different moments: the writer does not stand still for the look.
/// Each slot's own numbers belong together where its state is [`SlotState::Whole`]. Of a dead or closed writer all is as
/// it left it.
///
/// Who may write to the memory may have put any number there. They are told as they stand; what depends on them is
/// checked first, so that looking is safe and bounded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The channel's name.
    pub channel: String,
    /// Its namespace's name.
    pub namespace: String,
    /// Random id of the channel, made with it and kept through takeovers.
    pub instance: u64,
    /// The codec's name. Text of another process, as it stands there: it may hold control characters, so escape it before
    /// it is shown.
    pub codec: String,
    /// The type's name; cut if it is very long. Text of another process, as the codec's name.
    pub type_name: String,
    /// Fingerprint of codec and type name: what readers compare.
    pub fingerprint: u64,
    /// Whether payloads carry a CRC32C.
    pub checksum: bool,
    /// Permission bits that the channel's objects were asked to have, for example `0o600`; 0 if the number is none.
    pub permissions: u32,
    /// Payload bytes that a state may have at most.
    pub limit: u64,
    /// Numeric id of the user who owns the control page, as the system says.
    pub owner_uid: u32,
    /// Number of the latest publication, 0 before the first.
    pub published: u64,
    /// The generations of segments A and B that are in force.
    pub generations: [u64; 2],
    /// Whether, and how, the channel has ended.
    pub state: ChannelState,
    /// Process id of the writer, or of the last one, in its own PID namespace.
    pub writer_pid: u64,
    /// When that process started, in clock ticks since boot (field 22 of `/proc/PID/stat`); 0 if it is not known.
    pub start_time: u64,
    /// How many writers the channel has had.
    pub incarnation: u64,
    /// How long ago the writer opened the channel; `None` if it neither timestamps its publications
    /// nor promises an interval.
    pub opened_ago: Option<Duration>,
    /// How long ago the writer last said that it is at work; `None` if it never has.
    pub heartbeat: Option<Duration>,
    /// Within what time the writer promises to say so again; `None` if it promises nothing.
    pub heartbeat_interval: Option<Duration>,
    /// How publications are dated.
    pub dating: TimestampSource,
    /// How the writer wakes those who wait.
    pub wake_mode: WakeMode,
    /// Segments that were replaced by larger or smaller ones, by all writers that the channel has had.
    pub growths: u64,
    /// Bytes of the schema that the channel carries, as its page says; `None` if it carries none.
    pub schema_bytes: Option<u64>,
    /// What reading that schema comes to, without waiting for it. Of a channel whose [`state`](Inspection::state) is
    /// `Removed` it may be missing already.
    pub schema: SchemaInspection,
    /// What has become of the writer, found out before all the rest.
    pub writer_state: WriterState,
    /// Segments A and B as they are in force, or why they can't be looked at:
    /// [`ObjectError::NotFound`] if somebody has removed the name.
    pub segments: [Result<SegmentInspection, Arc<ObjectError>>; 2],
    /// Segments of the next generation, which the writer is making, or was when it died. Not in force yet.
    pub next_segments: [Option<SegmentInspection>; 2],
}

/// A segment, as its header and its slots say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInspection {
    /// Which incarnation of its side it is, from 1.
    pub generation: u64,
    /// Slots in its ring.
    pub depth: u64,
    /// Bytes from one slot to the next.
    pub stride: u64,
    /// Payload bytes that a slot has room for.
    pub capacity: u64,
    /// Bytes of the whole segment.
    pub bytes: u64,
    /// Its slots, in the order in which they stand there.
    pub slots: Vec<SlotInspection>,
}

/// A slot, as it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotInspection {
    /// Number of the publication that the stamp names; 0 if the slot is empty.
    pub publication: u64,
    /// What stands there.
    pub state: SlotState,
    /// The payload's length in bytes; 0 if there is none or it is being written.
    pub len: u64,
    /// How long ago it was published; `None` if it is not dated, or not whole.
    pub age: Option<Duration>,
}

/// What stands in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlotState {
    /// Nothing was ever written here.
    Empty,
    /// A publication is being written, or its writer died in the middle of it.
    Writing,
    /// A publication is written but not announced, as it is for some nanoseconds; or its writer died in between. No
    /// reader gets it.
    Unannounced,
    /// A publication stands here, whole.
    Whole,
    /// A number that no writer puts here, or a length beyond the slot's capacity: somebody else has written to the memory.
    Implausible,
}

impl Inspection {
    /// How the worker was when it was looked at: see [`Health`]. The thresholds are the default ones
    /// of a [`Hub`](crate::hub::Hub), which gives the same answer.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::judge(&self.signs(), Thresholds::default())
    }

    /// Time since the writer's last sign of life (a publication, a heartbeat, or the opening of the
    /// channel); `None` if none has a timestamp.
    #[must_use]
    pub fn silent(&self) -> Option<Duration> {
        self.signs().silent()
    }

    fn signs(&self) -> Signs {
        Signs {
            writer: self.writer_state,
            publication: self.published,
            published: self.youngest().and_then(|slot| slot.age),
            heartbeat: self.heartbeat,
            opened: self.opened_ago,
            interval: self.heartbeat_interval,
        }
    }

    /// The slot of the latest publication, or of one that came during the look and overwrote it.
    fn youngest(&self) -> Option<&SlotInspection> {
        let slots = self.segments.iter().flatten().flat_map(|segment| &segment.slots);
        slots.filter(|slot| slot.state == SlotState::Whole).max_by_key(|slot| slot.publication)
    }

    /// Number of the publication that a writer which is dead was in the middle of; `None` if there is none, or the writer
    /// is not [`WriterState::Dead`].
    ///
    /// Readers get the publication before it. Of what was written of this one nothing is known to be whole.
    #[must_use]
    pub fn unfinished(&self) -> Option<u64> {
        if self.writer_state != WriterState::Dead {
            return None;
        }
        // The only one that a writer can have begun and not announced.
        let begun = self.published.checked_add(1)?;
        let segments = self.segments.iter().flatten().chain(self.next_segments.iter().flatten());
        let mut slots = segments.flat_map(|segment| &segment.slots);
        slots.any(|slot| slot.publication == begun && slot.state.is_unfinished()).then_some(begun)
    }
}

impl SlotState {
    /// Whether the writer had begun the publication, and not announced it.
    fn is_unfinished(self) -> bool {
        matches!(self, SlotState::Writing | SlotState::Unannounced)
    }
}
