//! Requests and replies as bytes: a version, the message in Postcard, and a CRC32C of both.
//!
//! Decoding takes whatever comes: it allocates no more than the message has bytes, and every text
//! and count is bounded.

mod items;
mod sealed;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tearless::hub::Pattern;

pub use items::{
    Content, Description, Item, ItemEncoder, Items, MAX_CHANNEL_BYTES, MAX_CODEC_BYTES, MAX_NAMESPACE_BYTES,
    MAX_TYPE_NAME_BYTES, State, Status, Writer, nanos,
};
pub use sealed::{MessageError, VERSION};
use sealed::{append, begin, open, seal};

/// Maximum bytes of a request.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Maximum bytes of a reply.
pub const MAX_REPLY_BYTES: usize = 2 << 20;
/// Maximum bytes of a host's name: as the library's.
pub const MAX_HOST_BYTES: usize = 64;
/// Maximum number of patterns of a request.
pub const MAX_PATTERNS: usize = 64;
/// Maximum number of rounds that a request says to have received.
pub const MAX_RECEIVED: usize = 16;

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
    #[serde(serialize_with = "items::as_bytes")]
    pub bytes: &'a [u8],
}

impl Request {
    /// The request as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        seal(append(begin(), self))
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
            _ if !is_host_name(&request.host) => Err(MessageError::Invalid("a host can't have this name")),
            _ => Ok(request),
        }
    }
}

impl Reply<'_> {
    /// A reply that has these items.
    #[must_use]
    pub fn round(round: Round, items: ItemEncoder) -> Vec<u8> {
        let mut message = append(begin(), &Head::Round(round));
        message.extend(items.bytes);
        seal(message)
    }

    /// A reply that has a piece.
    #[must_use]
    pub fn piece(piece: Piece<'_>) -> Vec<u8> {
        seal(append(begin(), &Head::Piece(piece)))
    }

    /// A reply that refuses.
    #[must_use]
    pub fn refused(reason: &str) -> Vec<u8> {
        seal(append(begin(), &Head::Refused(reason)))
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

/// Whether a host may have this name. A copy is called `HOST/CHANNEL`: with a slash, a host could
/// take the name of a copy from another. Other characters have a meaning in patterns, or in
/// terminals.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    (1..=MAX_HOST_BYTES).contains(&name.len())
        && !name.chars().any(|it| matches!(it, '/' | '*' | '?') || it.is_control())
}

/// A duration in microseconds: at most 584,542 years.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use tearless::mirror::{ChannelFormat, MirrorWriter};

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
        let bytes = Reply::round(round(), encoder);
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
            let bytes = Reply::round(round(), encoder);
            let Ok(Reply::Round(_, mut items)) = Reply::decode(&bytes) else { panic!("a round") };
            assert_eq!(items.next().unwrap().is_ok(), by == 0, "{lens:?}");
            assert!(items.next().is_none());
        }
    }

    #[test]
    fn a_hostile_count_allocates_nothing() {
        // A text, a list and a payload that claim more than there is.
        for body in [&[0, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[2, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            let mut bytes = begin();
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
