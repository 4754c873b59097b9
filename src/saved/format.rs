//! The bytes of a file of saved channels: the module's documentation has the tables.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{SavedChannel, SavedOrigin, SavedState, Unsaved};
use crate::clock::{TimestampSource, nanoseconds};
use crate::inspect::{
    ChannelState, Inspection, SchemaInspection, SegmentInspection, SlotInspection, SlotState, WriterState,
};
use crate::object::{ObjectError, RECORDED};
use crate::seqlock::WakeMode;

/// The version that this library writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"tlsaved\n";

/// Bytes of the head of a file.
pub(super) const HEAD: usize = 16;

/// Bytes before a record's body, and of the checksum behind it.
pub(super) const BEFORE: usize = 16;
pub(super) const AFTER: usize = 4;

/// Bytes of a `stat` before its payload.
pub(super) const STATE: usize = 32;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Origin,
    Channel,
    State,
    Unsaved,
    End,
}

impl Kind {
    const ALL: [(Kind, [u8; 4]); 5] = [
        (Kind::Origin, *b"file"),
        (Kind::Channel, *b"chan"),
        (Kind::State, *b"stat"),
        (Kind::Unsaved, *b"skip"),
        (Kind::End, *b"end."),
    ];
}

/// What is before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) len: u64,
}

impl Before {
    pub(super) fn encode(self) -> [u8; BEFORE] {
        let mut bytes = [0; BEFORE];
        let code = Kind::ALL.iter().find(|(kind, _)| *kind == self.kind);
        bytes[..4].copy_from_slice(&code.expect("all kinds are listed").1);
        bytes[4..8].copy_from_slice(&self.index.to_le_bytes());
        bytes[8..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// `None` if there is no such kind.
    pub(super) fn decode(bytes: [u8; BEFORE]) -> Option<Before> {
        let (kind, _) = Kind::ALL.iter().find(|(_, code)| bytes.starts_with(code))?;
        let mut fields = Decoder { bytes: &bytes, at: 4 };
        let index = u32::from_le_bytes(fields.take(4).ok()?.try_into().ok()?);
        Some(Before { kind: *kind, index, len: fields.number().ok()? })
    }
}

/// The head of a file.
pub(super) fn head(version: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// The version of a file that begins so; `None` if it is not one of saved channels.
pub(super) fn version_of(found: [u8; HEAD]) -> Option<u32> {
    let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    (found == head(version)).then_some(version)
}

/// What is wrong with a body, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

type Field<T> = Result<T, Fault>;

/// Appends fields to a body.
#[derive(Debug, Default)]
pub(super) struct Encoder(pub(super) Vec<u8>);

impl Encoder {
    pub(super) fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Encoder, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn duration(&mut self, duration: Option<Duration>) {
        self.option(duration, |fields, duration| fields.number(nanoseconds(duration)));
    }

    fn time(&mut self, time: SystemTime) {
        self.number(nanoseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default()));
    }

    fn list<T>(&mut self, list: &[T], mut put: impl FnMut(&mut Encoder, &T)) {
        self.number(list.len() as u64);
        list.iter().for_each(|it| put(self, it));
    }

    fn choice<T: PartialEq>(&mut self, all: &[T], value: &T) {
        // A variant without a number is read as an error: the tests have all.
        self.number(all.iter().position(|it| it == value).map_or(u64::MAX, |at| at as u64));
    }
}

/// Takes fields out of a body that may hold anything. Allocates no more than the body has.
pub(super) struct Decoder<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Decoder<'a> {
    fn wrong<T>(&self, reason: &'static str) -> Field<T> {
        Err(Fault { at: self.at, reason })
    }

    fn take(&mut self, len: usize) -> Field<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return self.wrong("a field is longer than its record") };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn number(&mut self) -> Field<u64> {
        let mut number = [0; 8];
        number.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(number))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Field<T> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| Fault { at: self.at - 8, reason: "a number is too large" })
    }

    fn flag(&mut self) -> Field<bool> {
        self.choice(&[false, true])
    }

    fn bytes(&mut self) -> Field<&'a [u8]> {
        let len = self.small()?;
        self.take(len)
    }

    fn text(&mut self) -> Field<String> {
        let (at, bytes) = (self.at, self.bytes()?);
        String::from_utf8(bytes.into()).map_err(|_| Fault { at, reason: "a text is not UTF-8" })
    }

    fn option<T>(&mut self, take: impl FnOnce(&mut Decoder<'a>) -> Field<T>) -> Field<Option<T>> {
        if self.flag()? { take(self).map(Some) } else { Ok(None) }
    }

    fn duration(&mut self) -> Field<Option<Duration>> {
        self.option(|fields| fields.number().map(Duration::from_nanos))
    }

    fn time(&mut self) -> Field<SystemTime> {
        Ok(UNIX_EPOCH + Duration::from_nanos(self.number()?))
    }

    fn list<T>(&mut self, mut take: impl FnMut(&mut Decoder<'a>) -> Field<T>) -> Field<Vec<T>> {
        // Each takes at least a number, so that a wrong count ends with the body.
        let count = self.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(take(self)?);
        }
        Ok(list)
    }

    fn choice<T: Copy>(&mut self, all: &[T]) -> Field<T> {
        let at = self.at;
        let found = usize::try_from(self.number()?).ok().and_then(|index| all.get(index));
        found.copied().ok_or(Fault { at, reason: "there is no such choice" })
    }

    fn both<T>(&mut self, mut take: impl FnMut(&mut Decoder<'a>) -> Field<T>) -> Field<[T; 2]> {
        Ok([take(self)?, take(self)?])
    }

    fn end<T>(&self, value: T) -> Field<T> {
        if self.at == self.bytes.len() {
            Ok(value)
        } else {
            self.wrong("the record is longer than its fields")
        }
    }
}

const STATES: [ChannelState; 3] = [ChannelState::Open, ChannelState::Lingering, ChannelState::Removed];
const SOURCES: [TimestampSource; 3] =
    [TimestampSource::Precise, TimestampSource::Coarse, TimestampSource::None];
const WAKE_MODES: [WakeMode; 3] = [WakeMode::Barriers, WakeMode::Fences, WakeMode::Never];
const WRITERS: [WriterState; 7] = [
    WriterState::Alive,
    WriterState::Stopped,
    WriterState::Dead,
    WriterState::Exited,
    WriterState::Closed,
    WriterState::Unknown,
    WriterState::Unreachable,
];
const SLOTS: [SlotState; 5] =
    [SlotState::Empty, SlotState::Writing, SlotState::Unannounced, SlotState::Whole, SlotState::Implausible];

impl SavedOrigin {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Encoder::default();
        fields.text(&self.namespace);
        fields.time(self.saved_at);
        fields.text(&self.host);
        fields.text(&self.boot_id);
        fields.number(self.user.into());
        fields.number(self.pid);
        fields.text(&self.library_version);
        fields.number(self.layout_version);
        fields.0
    }

    pub(super) fn decode(body: &[u8]) -> Field<SavedOrigin> {
        let fields = &mut Decoder { bytes: body, at: 0 };
        let origin = SavedOrigin {
            namespace: fields.text()?,
            saved_at: fields.time()?,
            host: fields.text()?,
            boot_id: fields.text()?,
            user: fields.small()?,
            pid: fields.number()?,
            library_version: fields.text()?,
            layout_version: fields.number()?,
        };
        fields.end(origin)
    }
}

impl Unsaved {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Encoder::default();
        fields.text(&self.channel);
        fields.text(&self.reason);
        fields.0
    }

    pub(super) fn decode(body: &[u8]) -> Field<Unsaved> {
        let fields = &mut Decoder { bytes: body, at: 0 };
        let unsaved = Unsaved { channel: fields.text()?, reason: fields.text()? };
        fields.end(unsaved)
    }
}

impl SavedState {
    /// The fields before the payload.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Encoder::default();
        fields.number(self.publication);
        fields.number(self.time);
        fields.number(nanoseconds(self.age.unwrap_or_default()));
        fields.time(self.published_at.unwrap_or(UNIX_EPOCH));
        fields.0
    }

    /// The state with `len` bytes in the record `index`, which begins at `offset`.
    pub(super) fn decode(body: &[u8], len: u64, offset: u64, index: u32) -> Field<SavedState> {
        let fields = &mut Decoder { bytes: body, at: 0 };
        let (publication, time) = (fields.number()?, fields.number()?);
        let (age, at) = (Duration::from_nanos(fields.number()?), fields.time()?);
        let known = time != 0;
        let (age, published_at) = (known.then_some(age), known.then_some(at));
        fields.end(SavedState { publication, len, age, published_at, time, offset, index })
    }
}

/// The channel, without its states.
pub(super) fn encode_channel(channel: &SavedChannel) -> Vec<u8> {
    let mut fields = Encoder::default();
    encode_inspection(&mut fields, &channel.inspection);
    fields.option(channel.schema.as_deref(), Encoder::bytes);
    fields.option(channel.problem.as_deref(), Encoder::text);
    fields.0
}

pub(super) fn decode_channel(body: &[u8], namespace: &str) -> Field<SavedChannel> {
    let fields = &mut Decoder { bytes: body, at: 0 };
    let channel = SavedChannel {
        inspection: decode_inspection(fields, namespace)?,
        schema: fields.option(Decoder::bytes)?.map(Into::into),
        problem: fields.option(Decoder::text)?,
        states: Vec::new(),
    };
    fields.end(channel)
}

fn encode_inspection(fields: &mut Encoder, it: &Inspection) {
    fields.text(&it.channel);
    fields.number(it.instance);
    fields.text(&it.codec);
    fields.text(&it.type_name);
    fields.number(it.fingerprint);
    fields.flag(it.checksum);
    fields.number(it.permissions.into());
    fields.number(it.max_state_len);
    fields.number(it.owner_uid.into());
    fields.number(it.publication);
    it.generations.iter().for_each(|generation| fields.number(*generation));
    fields.choice(&STATES, &it.state);
    fields.number(it.writer_pid);
    fields.number(it.start_time);
    fields.number(it.incarnation);
    fields.duration(it.opened_ago);
    fields.duration(it.heartbeat_age);
    fields.duration(it.heartbeat_interval);
    fields.number(nanoseconds(it.slept));
    fields.duration(it.ended_ago);
    fields.choice(&SOURCES, &it.timestamps);
    fields.number(it.deferred);
    fields.choice(&WAKE_MODES, &it.wake_mode);
    fields.number(it.growths);
    fields.list(&it.pinned, |fields, pinned| fields.number(*pinned));
    fields.option(it.schema_bytes, Encoder::number);
    match &it.schema {
        SchemaInspection::None => fields.number(0),
        SchemaInspection::Whole => fields.number(1),
        SchemaInspection::Corrupt { reason } => {
            fields.number(2);
            fields.text(reason);
        }
    }
    fields.choice(&WRITERS, &it.writer_state);
    for segment in &it.segments {
        match segment {
            Ok(segment) => {
                fields.number(0);
                encode_segment(fields, segment);
            }
            Err(error) => {
                let (kind, text) = match &**error {
                    ObjectError::NotFound { object } => (1, object.clone()),
                    // All others are read as this one, and written again as it was read.
                    ObjectError::Recorded { kind, text } => (*kind, text.clone()),
                    error => (RECORDED, error.to_string()),
                };
                fields.number(kind);
                fields.text(&text);
            }
        }
    }
    it.next_segments.iter().for_each(|segment| fields.option(segment.as_ref(), encode_segment));
}

fn decode_inspection(fields: &mut Decoder<'_>, namespace: &str) -> Field<Inspection> {
    Ok(Inspection {
        namespace: namespace.into(),
        channel: fields.text()?,
        instance: fields.number()?,
        codec: fields.text()?,
        type_name: fields.text()?,
        fingerprint: fields.number()?,
        checksum: fields.flag()?,
        permissions: fields.small()?,
        max_state_len: fields.number()?,
        owner_uid: fields.small()?,
        publication: fields.number()?,
        generations: fields.both(Decoder::number)?,
        state: fields.choice(&STATES)?,
        writer_pid: fields.number()?,
        start_time: fields.number()?,
        incarnation: fields.number()?,
        opened_ago: fields.duration()?,
        heartbeat_age: fields.duration()?,
        heartbeat_interval: fields.duration()?,
        slept: Duration::from_nanos(fields.number()?),
        ended_ago: fields.duration()?,
        timestamps: fields.choice(&SOURCES)?,
        deferred: fields.number()?,
        wake_mode: fields.choice(&WAKE_MODES)?,
        growths: fields.number()?,
        pinned: fields.list(Decoder::number)?,
        schema_bytes: fields.option(Decoder::number)?,
        schema: match fields.choice(&[0, 1, 2])? {
            0 => SchemaInspection::None,
            1 => SchemaInspection::Whole,
            _ => SchemaInspection::Corrupt { reason: fields.text()? },
        },
        origin: None,
        writer_state: fields.choice(&WRITERS)?,
        segments: fields.both(|fields| {
            Ok(match fields.number()? {
                0 => Ok(decode_segment(fields)?),
                1 => Err(Arc::new(ObjectError::NotFound { object: fields.text()? })),
                kind => Err(Arc::new(ObjectError::Recorded { kind, text: fields.text()? })),
            })
        })?,
        next_segments: fields.both(|fields| fields.option(decode_segment))?,
    })
}

fn encode_segment(fields: &mut Encoder, it: &SegmentInspection) {
    let numbers = [it.generation, it.depth, it.stride, it.capacity, it.bytes];
    numbers.iter().for_each(|number| fields.number(*number));
    fields.list(&it.slots, |fields, slot| {
        fields.number(slot.publication);
        fields.choice(&SLOTS, &slot.state);
        fields.number(slot.len);
        fields.duration(slot.age);
        fields.option(slot.published_at, Encoder::time);
    });
}

fn decode_segment(fields: &mut Decoder<'_>) -> Field<SegmentInspection> {
    Ok(SegmentInspection {
        generation: fields.number()?,
        depth: fields.number()?,
        stride: fields.number()?,
        capacity: fields.number()?,
        bytes: fields.number()?,
        slots: fields.list(|fields| {
            Ok(SlotInspection {
                publication: fields.number()?,
                state: fields.choice(&SLOTS)?,
                len: fields.number()?,
                origin_publication: None,
                age: fields.duration()?,
                published_at: fields.option(Decoder::time)?,
            })
        })?,
    })
}
