//! Everything about channels, objects and namespaces that can be seen from outside: for tools and
//! for diagnosis.
//!
//! * [`Namespace::inspect`](crate::Namespace::inspect): an [`Inspection`] of one channel, down to
//!   its slots, whatever its type is, also after its writer died.
//! * [`Namespace::channels`](crate::Namespace::channels): the [`ChannelInfo`]s of a namespace;
//!   [`ChannelWatch`] notices changes.
//! * [`Namespace::unlisted_channels`](crate::Namespace::unlisted_channels): those that it
//!   lacks.
//! * [`namespaces`] and [`objects`]: what exists on this machine, without a name to begin with.
//! * [`similar`]: the names that a user may have meant.
//! * [`may_be_unmapped`]: whether an owner's id may be that of several users.
//! * [`capabilities`], [`capabilities_of`]: whether this machine, or a directory, can hold
//!   channels.
//!
//! An inspection takes no lock, stores nothing, and trusts nothing that it finds.

mod listing;
mod report;
#[cfg(test)]
mod tests;

pub use crate::channel::{OriginInfo, SchemaInspection, WriterState, similar};
pub use crate::layout::Side as SegmentSide;
pub use crate::object::may_be_unmapped;
#[doc(hidden)]
pub use crate::object::quoted;
pub use crate::registry::{ChannelInfo, ChannelWatch};
pub use crate::seqlock::ChannelState;
pub use listing::{
    Capability, NamespaceListing, ObjectListing, capabilities, capabilities_of, namespaces, objects,
};
pub use report::{
    Inspection, NamespaceInfo, ObjectInfo, ObjectKind, ObjectState, SegmentInspection, SlotInspection,
    SlotState,
};

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::{
    AttachError, ChannelName, ChannelReader, KnownChannels, ReaderOptions, origin_of, writer_state,
};
use crate::clock;
use crate::health::look_at_one_writer;
use crate::layout::{Kind, ObjectNames, Side, WORD_BYTES};
use crate::memory::{Memory, ReadOnlyWords, SlotHeader};
use crate::object::{Backend, ObjectError, if_exists};
use crate::registry::Registry;
use crate::seqlock::{Published, Ring, SlotStatus};

/// Attempts to map the current segment while the writer replaces it.
const MAX_REMAPS: usize = 64;

/// Attempts at a slot whose publication is not announced yet. A living writer announces it within
/// nanoseconds.
const MAX_ANNOUNCEMENTS: usize = 8;

/// The contents of a channel.
pub(crate) fn inspect(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Inspection, AttachError> {
    let mut reader = Registry::of(backend, &name.namespace).attach(name, &ReaderOptions::default())?;
    let failed = |source| AttachError::Object { channel: name.channel.clone(), source };
    let status = if_exists(backend.status(&name.objects.object(Kind::Control))).map_err(failed)?;
    let Some(status) = status else {
        // Removed since the reader attached.
        let (namespace, channel) = (name.namespace.clone(), name.channel.clone());
        let (waited, known) = (Duration::ZERO, KnownChannels::default());
        return Err(AttachError::NotFound { namespace, channel, waited, known });
    };
    look_at_one_writer(&mut reader, |reader| look(name, reader, status.owner)).map_err(failed)
}

/// One attempt. A new writer may begin during it.
fn look(name: &ChannelName, reader: &ChannelReader, owner_uid: u32) -> Result<Inspection, ObjectError> {
    let page = reader.page();
    let header = page.header();
    // First: if the writer is dead, everything below is its last, unless a successor begins.
    let writer_state = state_of_writer(reader)?;
    let incarnation = page.incarnation();
    // Before the times.
    let slept = page.slept_since_sign();
    let state = ChannelState::load_before_number(page);
    let segments = Side::BOTH.map(|side| current_segment(reader, side).map_err(Arc::new));
    Ok(Inspection {
        channel: name.channel.clone(),
        namespace: name.namespace.clone(),
        instance: reader.instance(),
        codec: header.format.codec,
        type_name: header.format.type_name,
        fingerprint: header.format.fingerprint,
        checksum: header.checksum,
        permissions: header.mode,
        max_state_len: page.max_state_len(),
        owner_uid,
        publication: page.publication_acquired(),
        generations: page.generations(),
        state,
        writer_pid: page.owner().pid,
        start_time: page.owner().start_time,
        incarnation,
        opened_ago: page.opened_ago(),
        heartbeat_age: page.heartbeat_age(),
        heartbeat_interval: page.heartbeat_interval(),
        slept,
        ended_ago: page.ended_ago(),
        timestamps: page.timestamps(),
        deferred: page.deferred(),
        wake_mode: page.wake_mode(),
        growths: page.growths(),
        pinned: page.pinned(),
        schema_bytes: header.schema.is_some().then_some(header.schema.bytes),
        schema: reader.inspect_schema(),
        origin: origin_of(reader),
        writer_state,
        segments,
        next_segments: Side::BOTH.map(|side| next_segment(reader, side)),
    })
}

/// The state of the writer; `Unknown` if the channel has been removed, because its lock can't be
/// queried any more.
fn state_of_writer(reader: &ChannelReader) -> Result<WriterState, ObjectError> {
    match writer_state(reader) {
        Err(ObjectError::NotFound { .. }) => Ok(WriterState::Unknown),
        state => state,
    }
}

/// The current segment, also if the writer replaces it during the call.
fn current_segment(reader: &ChannelReader, side: Side) -> Result<SegmentInspection, ObjectError> {
    let mut generation = current_generation(reader, side);
    for _ in 0..MAX_REMAPS {
        match reader.view_segment(side, generation) {
            Err(ObjectError::NotFound { .. }) if generation != current_generation(reader, side) => {
                generation = current_generation(reader, side);
            }
            viewed => return Ok(segment(reader, side, generation, &viewed?)),
        }
    }
    reader.view_segment(side, generation).map(|ring| segment(reader, side, generation, &ring))
}

/// The segment of the generation after the current one, if there is one that can be mapped.
fn next_segment(reader: &ChannelReader, side: Side) -> Option<SegmentInspection> {
    let generation = current_generation(reader, side).checked_add(1)?;
    if generation > ObjectNames::MAX_GENERATION {
        return None;
    }
    let ring = reader.view_segment(side, generation).ok()?;
    Some(segment(reader, side, generation, &ring))
}

fn current_generation(reader: &ChannelReader, side: Side) -> u64 {
    // For its acquire fence: a writer stores a generation before it announces a publication in that
    // segment.
    let _ = reader.page().publication_acquired();
    reader.page().generations()[side.index()]
}

fn segment(
    reader: &ChannelReader,
    side: Side,
    generation: u64,
    ring: &Ring<ReadOnlyWords>,
) -> SegmentInspection {
    let geometry = ring.geometry();
    SegmentInspection {
        generation,
        depth: geometry.depth(),
        stride: (geometry.stride_words() * WORD_BYTES) as u64,
        capacity: geometry.capacity() as u64,
        bytes: (ring.memory().len() * WORD_BYTES) as u64,
        slots: (0..geometry.slots()).map(|index| slot(reader, side, ring, index)).collect(),
    }
}

/// The header of a slot, read again until its publication is announced, as long as that may still
/// happen.
fn slot(reader: &ChannelReader, side: Side, ring: &Ring<ReadOnlyWords>, index: usize) -> SlotInspection {
    let mut tries = 1;
    loop {
        // Before the slot, so that the numbers of an announced publication belong together.
        let latest = Published::of_channel(reader.page()).latest().map_or(0, |latest| latest.get());
        let looked = ring.look(side, index);
        let mut slot = slot_inspection(looked, latest, ring.geometry().capacity() as u64);
        let is_mirrored = reader.host().is_some() && slot.state == SlotState::Whole;
        slot.origin_publication = is_mirrored.then_some(looked.1.checksum);
        if slot.state != SlotState::Unannounced || tries == MAX_ANNOUNCEMENTS {
            return slot;
        }
        tries += 1;
    }
}

/// The report of a slot whose header was read while `latest` was announced.
fn slot_inspection((status, header): (SlotStatus, SlotHeader), latest: u64, capacity: u64) -> SlotInspection {
    let nothing = |publication, state| SlotInspection {
        publication,
        state,
        len: 0,
        age: None,
        origin_publication: None,
        published_at: None,
    };
    match status {
        SlotStatus::Empty => nothing(0, SlotState::Empty),
        SlotStatus::Writing(publication) => nothing(publication.get(), SlotState::Writing),
        SlotStatus::Implausible(stamp) => nothing(stamp.div_ceil(2), SlotState::Implausible),
        SlotStatus::Whole(publication) => {
            let state = match () {
                () if header.len > capacity => SlotState::Implausible,
                () if publication.get() > latest => SlotState::Unannounced,
                () => SlotState::Whole,
            };
            let time = NonZeroU64::new(header.time);
            SlotInspection {
                publication: publication.get(),
                state,
                len: header.len,
                age: time.map(clock::age),
                origin_publication: None,
                published_at: time.map(clock::time_of_day),
            }
        }
    }
}
