//! The items of a round: what is new of each channel.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tearless::mirror::ChannelFormat;

use super::sealed::{MessageError, append};

/// Maximum bytes of a namespace's name, or of a pattern of them: as the library's.
pub const MAX_NAMESPACE_BYTES: usize = 128;
/// Maximum bytes of a channel's name, or of a pattern of them: as the library's.
pub const MAX_CHANNEL_BYTES: usize = 256;
/// Maximum bytes of a codec's name: as the library's.
pub const MAX_CODEC_BYTES: usize = 64;
/// Maximum bytes of a type's name: as the library's.
pub const MAX_TYPE_NAME_BYTES: usize = 512;

/// What is new of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item<'a> {
    /// The channel, in this session. A channel that replaces another has a higher one.
    pub key: u32,
    /// It was removed, or replaced: nothing else follows of this key.
    pub is_removed: bool,
    /// What it is.
    pub description: Option<Cow<'a, Description>>,
    /// How its writer is.
    pub status: Option<Status>,
    /// Its latest state.
    #[serde(borrow)]
    pub state: Option<State<'a>>,
}

/// What a channel is. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The namespace.
    pub namespace: String,
    /// The channel's name there.
    pub channel: String,
    /// Its instance: random.
    pub instance: u64,
    /// What its states are.
    #[serde(with = "Format")]
    pub format: ChannelFormat,
}

impl Description {
    /// Whether its names are no longer than names may be.
    fn is_short(&self) -> bool {
        self.namespace.len() <= MAX_NAMESPACE_BYTES
            && self.channel.len() <= MAX_CHANNEL_BYTES
            && self.format.codec.len() <= MAX_CODEC_BYTES
            && self.format.type_name.len() <= MAX_TYPE_NAME_BYTES
    }
}

/// The order of the fields in messages.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ChannelFormat")]
struct Format {
    codec: String,
    type_name: String,
    fingerprint: u64,
    #[serde(deserialize_with = "schema")]
    schema: Option<Vec<u8>>,
    max_state_len: u64,
    capacity: u64,
}

/// The schema's bytes, which are there before they are copied.
fn schema<'de, D: Deserializer<'de>>(bytes: D) -> Result<Option<Vec<u8>>, D::Error> {
    Ok(<Option<&[u8]>>::deserialize(bytes)?.map(<[u8]>::to_vec))
}

/// How a channel's writer is, as the origin's kernel tells. Times are ages, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Number of writers that the channel has had.
    pub incarnation: u64,
    /// The writer's process.
    pub pid: u64,
    /// Its state.
    pub writer: Writer,
    /// What the writer promises.
    pub heartbeat_interval: Option<u64>,
    /// Since its last heartbeat.
    pub heartbeat_age: Option<u64>,
    /// Since it opened the channel.
    pub opened_ago: Option<u64>,
    /// Since it closed the channel, or exited.
    pub ended_ago: Option<u64>,
}

impl Status {
    /// The same after some time without news.
    #[must_use]
    pub fn after(self, time: Duration) -> Status {
        let later = |age: Option<u64>| age.map(|age| age.saturating_add(nanos(time)));
        Status {
            heartbeat_age: later(self.heartbeat_age),
            opened_ago: later(self.opened_ago),
            ended_ago: later(self.ended_ago),
            ..self
        }
    }
}

/// The states of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "those of `tearless::WriterState`")]
pub enum Writer {
    Alive,
    Stopped,
    Dead,
    Exited,
    Closed,
    Unknown,
}

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State<'a> {
    /// Number of the publication at the origin.
    pub publication: u64,
    /// Its age when the reply was made, in nanoseconds.
    pub age: Option<u64>,
    /// The payload.
    #[serde(borrow)]
    pub content: Content<'a>,
}

/// The payload of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content<'a> {
    /// Here it is.
    Whole(#[serde(serialize_with = "as_bytes")] &'a [u8]),
    /// To be asked for in pieces: so many bytes.
    Large(u64),
}

/// The items of a round, decoded one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Items<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (item, rest) = match postcard::take_from_bytes::<Item<'a>>(self.0) {
            Ok((item, rest)) if item.description.as_ref().is_none_or(|it| it.is_short()) => (Ok(item), rest),
            Ok(_) => (Err(MessageError::Invalid("a name is longer than any")), &[][..]),
            Err(_) => (Err(MessageError::Invalid("an item can't be decoded")), &[][..]),
        };
        self.0 = rest;
        Some(item)
    }
}

/// Writes a slice at once. Serde writes a slice byte by byte, to the same effect.
pub(super) fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The items of a reply that is being made.
#[derive(Default)]
pub struct ItemEncoder {
    pub(super) bytes: Vec<u8>,
    len: usize,
}

impl ItemEncoder {
    /// Adds an item, unless it is not the first, and they had more than `max` bytes then. Returns
    /// whether it was added.
    pub fn push(&mut self, item: &Item<'_>, max: usize) -> bool {
        let before = self.bytes.len();
        self.bytes = append(std::mem::take(&mut self.bytes), item);
        if before > 0 && self.bytes.len() > max {
            self.bytes.truncate(before);
            return false;
        }
        self.len += 1;
        true
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A duration in nanoseconds: at most 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
