//! Looking at a channel: its page, then its segments.

use crate::memory::ReadOnlyWords;
use crate::memory::SlotHeader;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::report::{Inspection, SegmentInspection, SlotInspection, SlotState};
use crate::channel::{
    AttachError, AttachPolicy, ChannelName, ChannelReader, ReaderOptions, RetryPolicy, WriterState,
    writer_state,
};
use crate::clock;
use crate::layout::{Kind, ObjectNames, Side, WORD_BYTES, control};
use crate::memory::Memory;
use crate::object::{Backend, ObjectError};
use crate::seqlock::{ChannelState, Generations, Published, Ring, SlotStatus};

/// How often a look starts again because a new writer has come meanwhile.
const MAX_LOOKS: usize = 8;

/// How often a segment is looked for that is being replaced by another one.
const MAX_REMAPS: usize = 64;

/// How often a slot is looked at whose publication was not announced yet: it is within nanoseconds, if the writer lives.
const MAX_ANNOUNCEMENTS: usize = 8;

/// All that stands in a channel.
pub(crate) fn inspect(backend: &Arc<dyn Backend>, name: &ChannelName) -> Result<Inspection, AttachError> {
    let options =
        ReaderOptions { attach: AttachPolicy::default(), retry: RetryPolicy::default(), format: None };
    let reader = crate::channel::attach(backend, name, &options)?;
    let failed = |source| AttachError::Object { channel: name.channel.clone(), source };
    let page_name = name.objects.object(Kind::Control);
    let owner_uid = backend.status(&page_name).map_err(failed)?.owner;
    for _ in 1..MAX_LOOKS {
        let inspection = look(name, &reader, owner_uid).map_err(failed)?;
        if inspection.incarnation == reader.page().incarnation() {
            return Ok(inspection);
        }
    }
    look(name, &reader, owner_uid).map_err(failed)
}

/// One look, which a new writer may come into.
fn look(name: &ChannelName, reader: &ChannelReader, owner_uid: u32) -> Result<Inspection, ObjectError> {
    let page = reader.page();
    // First: then all that follows is the last of a writer that is dead, unless it has a successor by then.
    let writer_state = state_of_writer(reader)?;
    let incarnation = reader.page().incarnation();
    // Before the ending: who removes the channel says so before the object goes.
    let schema = reader.inspect_schema();
    let state = ChannelState::load_before_number(page);
    let segments = Side::BOTH.map(|side| segment_in_force(reader, side).map_err(Arc::new));
    Ok(Inspection {
        channel: name.channel.clone(),
        namespace: name.namespace.clone(),
        instance: reader.instance(),
        codec: reader.format().codec.clone(),
        type_name: reader.format().type_name.clone(),
        fingerprint: page.load(control::FINGERPRINT),
        checksum: page.load(control::CHECKSUM) != 0,
        permissions: u32::try_from(page.load(control::MODE)).unwrap_or(0),
        limit: page.load(control::LIMIT),
        owner_uid,
        published: reader.page().publication_acquired(),
        generations: Side::BOTH.map(|side| Generations(page).current(side)),
        state,
        writer_pid: reader.page().owner().pid,
        start_time: page.load(control::START_TIME),
        incarnation,
        opened_ago: reader.page().opened_ago(),
        heartbeat: reader.page().heartbeat_age(),
        heartbeat_interval: reader.page().heartbeat_interval(),
        dating: reader.page().timestamps(),
        wake_mode: reader.page().wake_mode(),
        growths: reader.page().growths(),
        schema_bytes: Some(page.load(control::SCHEMA_BYTES)).filter(|bytes| *bytes > 0),
        schema,
        writer_state,
        segments,
        next_segments: Side::BOTH.map(|side| next_segment(reader, side)),
    })
}

/// A channel that vanishes meanwhile has no lock to be asked about.
fn state_of_writer(reader: &ChannelReader) -> Result<WriterState, ObjectError> {
    match writer_state(reader) {
        Err(ObjectError::NotFound { .. }) => Ok(WriterState::Unknown),
        state => state,
    }
}

/// The current segment, also if it is replaced meanwhile.
fn segment_in_force(reader: &ChannelReader, side: Side) -> Result<SegmentInspection, ObjectError> {
    let mut generation = generation_in_force(reader, side);
    for _ in 0..MAX_REMAPS {
        match reader.view_segment(side, generation) {
            Err(ObjectError::NotFound { .. }) if generation != generation_in_force(reader, side) => {
                generation = generation_in_force(reader, side);
            }
            viewed => return Ok(segment(reader, side, generation, &viewed?)),
        }
    }
    reader.view_segment(side, generation).map(|ring| segment(reader, side, generation, &ring))
}

/// The segment of the generation after the one in force, if there is one that is whole enough to be looked at.
fn next_segment(reader: &ChannelReader, side: Side) -> Option<SegmentInspection> {
    let generation = generation_in_force(reader, side).checked_add(1)?;
    if generation > ObjectNames::MAX_GENERATION {
        return None;
    }
    let ring = reader.view_segment(side, generation).ok()?;
    Some(segment(reader, side, generation, &ring))
}

fn generation_in_force(reader: &ChannelReader, side: Side) -> u64 {
    // Its acquire fence: a generation is put in force before a publication in it is announced.
    let _ = Published::of_channel(reader.page()).latest();
    Generations(reader.page()).current(side)
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
        slots: (0..geometry.depth()).map(|index| slot(reader, side, ring, index)).collect(),
    }
}

/// Looks at a slot until what stands there is announced, or won't be.
fn slot(reader: &ChannelReader, side: Side, ring: &Ring<ReadOnlyWords>, index: u64) -> SlotInspection {
    let mut tries = 1;
    loop {
        // Before the slot: then the numbers of a publication that is announced belong together.
        let latest = Published::of_channel(reader.page()).latest().map_or(0, |latest| latest.get());
        let told = tell(ring.look(side, index), latest, ring.geometry().capacity() as u64);
        if told.state != SlotState::Unannounced || tries == MAX_ANNOUNCEMENTS {
            return told;
        }
        tries += 1;
    }
}

/// What a look at a slot means while `latest` is announced.
fn tell((status, header): (SlotStatus, SlotHeader), latest: u64, capacity: u64) -> SlotInspection {
    let nothing = |publication, state| SlotInspection { publication, state, len: 0, age: None };
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
            let age = NonZeroU64::new(header.time).map(clock::age);
            SlotInspection { publication: publication.get(), state, len: header.len, age }
        }
    }
}
