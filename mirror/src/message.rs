//! Requests and replies as bytes: a version, the message in Postcard, and a CRC32C of both.
//!
//! Decoding takes whatever comes: it allocates no more than the message has bytes, and every text
//! and count is bounded.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tearless::hub::Pattern;
use tearless::mirror::ChannelFormat;

/// The version of these messages. Another one is refused.
pub const VERSION: u8 = 2;
/// Maximum bytes of a request.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Maximum bytes of a reply.
pub const MAX_REPLY_BYTES: usize = 2 << 20;
/// Maximum bytes of a host's name: as the library's.
pub const MAX_HOST_BYTES: usize = 64;
/// Maximum bytes of a namespace's name, or of a pattern of them: as the library's.
pub const MAX_NAMESPACE_BYTES: usize = 128;
/// Maximum bytes of a channel's name, or of a pattern of them: as the library's.
pub const MAX_CHANNEL_BYTES: usize = 256;
/// Maximum bytes of a codec's name: as the library's.
pub const MAX_CODEC_BYTES: usize = 64;
/// Maximum bytes of a type's name: as the library's.
pub const MAX_TYPE_NAME_BYTES: usize = 512;
/// Maximum number of patterns of a request.
pub const MAX_PATTERNS: usize = 64;
/// Maximum number of rounds that a request says to have received.
pub const MAX_RECEIVED: usize = 16;

/// Why bytes can't be decoded as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than any message.
    #[error("the message has {0} bytes, more than any: is the sender a mirror of this version?")]
    TooLong(usize),
    /// Another version's.
    #[error(
        "the message is of version {0}, and this mirror's is {VERSION}: run the same version on both hosts"
    )]
    Version(u8),
    /// Changed on the way, or cut.
    #[error("the message is damaged: its checksum does not match")]
    Damaged,
    /// What no mirror sends.
    #[error("the message is invalid: {0}")]
    Invalid(&'static str),
}

/// What a sink asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The sink: random, made when it starts.
    pub sink: u64,
    /// The name of the sink's host, for people.
    pub host: String,
    /// Number of the request: a sink never uses one again.
    pub id: u64,
    /// The session of the source that the sink knows; 0 if it knows none.
    pub session: u64,
    /// What it asks for.
    pub ask: Ask,
}

/// The kinds of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// What has changed.
    Round(AskRound),
    /// A piece of a large state.
    Piece(AskPiece),
}

/// Asks for what has changed, and says what has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRound {
    /// The first request for a round, by its number, that the sink still waits for: this one, or an
    /// earlier one. What earlier rounds had is sent again, unless they are among those received.
    pub first: u64,
    /// The latest rounds that the sink has received, by their sequence.
    pub received: Vec<u64>,
    /// Maximum bytes of the reply.
    pub max_bytes: u32,
    /// How long the source may hold the request until something changes, in milliseconds.
    pub hold_ms: u32,
    /// Which channels the sink wants.
    pub interest: Vec<Interest>,
}

/// Channels that a sink wants: patterns with `*` and `?`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interest {
    /// Of namespaces.
    pub namespace: String,
    /// Of channels.
    pub channel: String,
}

/// Asks for a piece of a large state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskPiece {
    /// The channel.
    pub key: u32,
    /// The publication of which the sink has a piece; 0 for the latest one.
    pub publication: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// Maximum bytes of the piece.
    pub max_bytes: u32,
}

impl Interest {
    /// Whether its patterns are no longer than names may be.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.namespace.len() <= MAX_NAMESPACE_BYTES && self.channel.len() <= MAX_CHANNEL_BYTES
    }

    /// Its patterns, of namespaces and of channels.
    #[must_use]
    pub fn patterns(&self) -> (Pattern, Pattern) {
        (Pattern::new(&*self.namespace), Pattern::new(&*self.channel))
    }
}

/// What a source replies.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// What has changed.
    Round(Round, Items<'a>),
    /// A piece of a large state.
    Piece(Piece<'a>),
    /// Why the source does not serve the sink.
    Refused(&'a str),
}

#[derive(Serialize, Deserialize)]
enum Head<'a> {
    Round(Round),
    #[serde(borrow)]
    Piece(Piece<'a>),
    Refused(&'a str),
}

/// The head of a reply to [`AskRound`]. Items follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The source: random, made when it starts.
    pub session: u64,
    /// Increases with each round of the session: of two statuses, the later is that of the higher.
    pub sequence: u64,
    /// The sequence at which the source began to send all channels to this sink: when the sink
    /// came, or the source had forgotten it.
    pub listing: u64,
    /// Whether the rounds of this listing, with this one, have all channels that there were: if all
    /// that the sink has not received are before `first`.
    pub is_listed: bool,
    /// The highest `first` of the sink's requests until then.
    pub first: u64,
    /// For how long the source held the request, in microseconds.
    pub held_us: u64,
    /// The time of day at the source when it made the reply, in microseconds since 1970.
    pub clock_us: u64,
}

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

/// A piece of a large state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece<'a> {
    /// The source.
    pub session: u64,
    /// The channel.
    pub key: u32,
    /// The publication, which may be a later one than the sink has asked for; 0 if there is none.
    pub publication: u64,
    /// Its age when the reply was made, in nanoseconds.
    pub age: Option<u64>,
    /// Bytes of the whole payload.
    pub len: u64,
    /// CRC32C of the whole payload.
    pub checksum: u32,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece.
    #[serde(serialize_with = "as_bytes")]
    pub bytes: &'a [u8],
}

/// The items of a round, decoded one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Items<'a>(&'a [u8]);

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

/// At once. Serde writes a slice byte by byte, to the same effect.
fn as_bytes<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

fn encoder() -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    message.push(VERSION);
    message
}

fn append(into: Vec<u8>, message: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(message, into).expect("memory grows, and the messages have lengths")
}

fn seal(mut message: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&message);
    message.extend(checksum.to_le_bytes());
    message
}

/// The message between version and checksum.
fn open(bytes: &[u8], max: usize) -> Result<&[u8], MessageError> {
    if bytes.len() > max {
        return Err(MessageError::TooLong(bytes.len()));
    }
    let (message, checksum) = bytes.split_last_chunk::<4>().ok_or(MessageError::Damaged)?;
    let (version, body) = message.split_first().ok_or(MessageError::Damaged)?;
    // Before the checksum: another version may have another one.
    if *version != VERSION {
        return Err(MessageError::Version(*version));
    }
    if crc32c::crc32c(message) != u32::from_le_bytes(*checksum) {
        return Err(MessageError::Damaged);
    }
    Ok(body)
}

impl Request {
    /// The request as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        seal(append(encoder(), self))
    }

    /// The request of these bytes.
    ///
    /// # Errors
    ///
    /// If they are none, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Request, MessageError> {
        let request: Request = postcard::from_bytes(open(bytes, MAX_REQUEST_BYTES)?)
            .map_err(|_| MessageError::Invalid("a request can't be decoded"))?;
        match &request.ask {
            Ask::Round(round)
                if round.interest.len() > MAX_PATTERNS || round.received.len() > MAX_RECEIVED =>
            {
                Err(MessageError::Invalid("a request has too many patterns, or rounds"))
            }
            Ask::Round(round) if !round.interest.iter().all(Interest::is_short) => {
                Err(MessageError::Invalid("a pattern is longer than any name"))
            }
            _ if request.host.len() > MAX_HOST_BYTES => {
                Err(MessageError::Invalid("the name of a host is too long"))
            }
            _ => Ok(request),
        }
    }
}

/// The items of a reply that is being made.
#[derive(Default)]
pub struct ItemEncoder {
    bytes: Vec<u8>,
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

    /// The reply as bytes.
    #[must_use]
    pub fn finish(self, round: Round) -> Vec<u8> {
        let mut message = append(encoder(), &Head::Round(round));
        message.extend(self.bytes);
        seal(message)
    }
}

impl Reply<'_> {
    /// A reply that has a piece.
    #[must_use]
    pub fn piece(piece: Piece<'_>) -> Vec<u8> {
        seal(append(encoder(), &Head::Piece(piece)))
    }

    /// A reply that refuses.
    #[must_use]
    pub fn refused(reason: &str) -> Vec<u8> {
        seal(append(encoder(), &Head::Refused(reason)))
    }

    /// The reply of these bytes.
    ///
    /// # Errors
    ///
    /// If they are none, or of another version. Items are checked one by one.
    pub fn decode(bytes: &[u8]) -> Result<Reply<'_>, MessageError> {
        let body = open(bytes, MAX_REPLY_BYTES)?;
        let (head, rest) = postcard::take_from_bytes::<Head<'_>>(body)
            .map_err(|_| MessageError::Invalid("a reply can't be decoded"))?;
        match head {
            Head::Round(round) => Ok(Reply::Round(round, Items(rest))),
            Head::Piece(piece) if rest.is_empty() => Ok(Reply::Piece(piece)),
            Head::Refused(reason) if rest.is_empty() => Ok(Reply::Refused(reason)),
            _ => Err(MessageError::Invalid("bytes follow the reply")),
        }
    }
}

/// A duration in microseconds: at most 584,542 years.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in nanoseconds: at most 584 years.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tearless::mirror::MirrorWriter;

    use super::*;

    fn request() -> Request {
        let interest = vec![Interest { namespace: "fleet".into(), channel: "*".into() }];
        let ask = AskRound { first: 6, received: vec![4, 5], max_bytes: 9, hold_ms: 500, interest };
        Request { sink: 7, host: "b".into(), id: 6, session: 8, ask: Ask::Round(ask) }
    }

    fn round() -> Round {
        Round {
            session: 8,
            sequence: 3,
            listing: 1,
            is_listed: false,
            first: 1,
            held_us: 12,
            clock_us: 1 << 50,
        }
    }

    fn item(payload: &[u8]) -> Item<'_> {
        let state = State { publication: 9, age: Some(5), content: Content::Whole(payload) };
        Item { key: 2, is_removed: false, description: None, status: None, state: Some(state) }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Request::decode(&request().encode()), Ok(request()));
        let mut encoder = ItemEncoder::default();
        assert!(encoder.push(&item(b"one"), 1000));
        assert!(!encoder.push(&item(&[0; 2000]), 1000));
        assert!(encoder.push(&item(b"two"), 1000));
        let bytes = encoder.finish(round());
        let Ok(Reply::Round(head, items)) = Reply::decode(&bytes) else { panic!("a round") };
        assert_eq!(head, round());
        assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>(), [item(b"one"), item(b"two")]);
        assert_eq!(Reply::decode(&Reply::refused("no")), Ok(Reply::Refused("no")));
    }

    #[test]
    fn a_payload_is_its_length_and_its_bytes() {
        let bytes = postcard::to_stdvec(&Content::Whole(b"abc")).unwrap();
        assert_eq!(bytes, [0, 3, b'a', b'b', b'c']);
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let bytes = request().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(Request::decode(&changed).is_err(), "{at}");
            assert!(Request::decode(&bytes[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn another_version_says_so() {
        let mut bytes = request().encode();
        bytes[0] = VERSION + 1;
        assert_eq!(Request::decode(&bytes), Err(MessageError::Version(VERSION + 1)));
    }

    #[test]
    fn names_are_at_most_as_long_as_in_the_library() {
        let maxima = [MAX_NAMESPACE_BYTES, MAX_CHANNEL_BYTES, MAX_CODEC_BYTES, MAX_TYPE_NAME_BYTES];
        for (which, by) in [(0, 0), (0, 1), (1, 1), (2, 1), (3, 1)] {
            let mut lens = maxima;
            lens[which] += by;
            let [namespace, channel, codec, type_name] = lens.map(|len| "n".repeat(len));
            let format = ChannelFormat {
                codec,
                type_name,
                fingerprint: 1,
                schema: None,
                max_state_len: 9,
                capacity: 9,
            };
            let there = tearless::Namespace::in_process(&namespace);
            let opened = there.is_ok_and(|it| MirrorWriter::open(&it, &channel, "a", 1, &format).is_ok());
            assert_eq!(opened, by == 0, "the library, {lens:?}");

            let interest = vec![Interest { namespace: namespace.clone(), channel: channel.clone() }];
            let ask = AskRound { first: 6, received: vec![], max_bytes: 9, hold_ms: 500, interest };
            let bytes = Request { ask: Ask::Round(ask), ..request() }.encode();
            assert_eq!(Request::decode(&bytes).is_ok(), by == 0 || which > 1, "{lens:?}");

            let description = Description { namespace, channel, instance: 1, format };
            let mut encoder = ItemEncoder::default();
            encoder.push(&Item { description: Some(Cow::Owned(description)), ..item(b"one") }, 1 << 16);
            let bytes = encoder.finish(round());
            let Ok(Reply::Round(_, mut items)) = Reply::decode(&bytes) else { panic!("a round") };
            assert_eq!(items.next().unwrap().is_ok(), by == 0, "{lens:?}");
            assert!(items.next().is_none());
        }
    }

    #[test]
    fn a_hostile_count_allocates_nothing() {
        // A text, a list and a payload that claim more than there is.
        for body in [&[0, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[2, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            let mut bytes = encoder();
            bytes.extend(body);
            let bytes = seal(bytes);
            assert!(Reply::decode(&bytes).is_err() || matches!(Reply::decode(&bytes), Ok(Reply::Round(..))));
            assert!(Request::decode(&bytes).is_err());
        }
        assert_eq!(
            Request::decode(&vec![0; MAX_REQUEST_BYTES + 1]),
            Err(MessageError::TooLong(MAX_REQUEST_BYTES + 1))
        );
    }
}
