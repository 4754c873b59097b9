//! The payload of every publication, as a function of its number, so a reader can check every word.

use serde::Serialize;

/// Bytes of a word.
const WORD: usize = 8;

/// Payloads of at least this many bytes begin with the life of the writer that published them.
const MIN_SIGNED: usize = 2 * WORD;

/// The longest payload, as a power of two: 256 KiB.
const MAX_OCTAVE: u32 = 18;

/// Bytes of every payload of [`Sizes::Plain`].
pub(super) const PLAIN_BYTES: usize = 1024;

/// The longest payload of [`Sizes::Tiny`].
const MAX_TINY_BYTES: usize = 128;

/// The distance from a torn publication within which the publication of a wrong word is searched.
const NEIGHBOURS: u64 = 64;

/// How long the payloads of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// From 0 to 128 bytes, all equally likely.
    Tiny,
    /// From 0 to 256 KiB. Every octave is equally likely, so that the channel grows again and
    /// again.
    Mixed,
    /// Always [`PLAIN_BYTES`]: the state has a fixed size.
    Plain,
}

/// All payloads of one channel: a function of the seed, the channel, the publication's number and
/// the writer's life.
///
/// If a writer is killed in the middle of a publication, its successor publishes that number again.
/// The life makes the words of the two publications differ, so that the check notices a mixture of
/// both. No word is the number itself, so the payload of another publication never passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    seed: u64,
    /// Two seeds that differ only in the last bit give the same lengths, so that a test can have
    /// wrong words at right lengths.
    lengths: u64,
    sizes: Sizes,
}

impl Content {
    pub(super) fn new(seed: u64, channel: usize, sizes: Sizes) -> Content {
        let of = |seed| scramble(seed, channel as u64);
        Content { seed: of(seed), lengths: of(seed >> 1), sizes }
    }

    /// The payload length of a publication, in bytes.
    pub(super) fn len(self, publication: u64) -> usize {
        let random = scramble(self.lengths, publication);
        let between = |min: usize, max: usize| {
            let offset = (random >> 8) % (max - min + 1) as u64;
            min + usize::try_from(offset).unwrap_or(0)
        };
        match self.sizes {
            Sizes::Tiny => between(0, MAX_TINY_BYTES),
            Sizes::Mixed => match random % (u64::from(MAX_OCTAVE) + 1) {
                0 => 0,
                octave => between(1 << (octave - 1), 1 << octave),
            },
            Sizes::Plain => PLAIN_BYTES,
        }
    }

    /// Replaces `payload` by the payload of a publication.
    pub(super) fn write(self, publication: u64, life: u64, payload: &mut Vec<u8>) {
        let len = self.len(publication);
        let words = self.words(publication, life);
        payload.clear();
        payload.reserve(len + WORD);
        for index in 0..len.div_ceil(WORD) as u64 {
            payload.extend_from_slice(&words.word(index).to_le_bytes());
        }
        payload.truncate(len);
    }

    /// Compares length and every word with the published payload.
    ///
    /// # Errors
    ///
    /// A message that describes the difference.
    pub(super) fn check(self, publication: u64, payload: &[u8]) -> Result<(), String> {
        let len = self.len(publication);
        if payload.len() != len {
            return Err(format!("publication {publication} has {} bytes instead of {len}", payload.len()));
        }
        let words = self.words(publication, first_word(payload));
        let (whole, rest) = payload.as_chunks::<WORD>();
        // Differences are accumulated instead of tested one by one: the check is nearly as fast as
        // the copy.
        let mut difference = 0;
        for (index, word) in (0..).zip(whole) {
            difference |= words.word(index) ^ u64::from_le_bytes(*word);
        }
        let last = words.word(whole.len() as u64).to_le_bytes();
        match difference == 0 && last.starts_with(rest) {
            true => Ok(()),
            false => Err(self.explain(publication, payload)),
        }
    }

    /// The wrong words, and the publication that the first of them belongs to.
    #[cold]
    fn explain(self, publication: u64, payload: &[u8]) -> String {
        let life = first_word(payload);
        let matches = |publication: u64, index: u64, word: &[u8]| {
            self.words(publication, life).word(index).to_le_bytes().starts_with(word)
        };
        let words = (0..).zip(payload.chunks(WORD));
        let wrong: Vec<_> = words.filter(|(index, word)| !matches(publication, *index, word)).collect();
        let Some((first, word)) = wrong.first() else {
            return format!("publication {publication} was torn and is whole now: the copy has changed");
        };
        let mut nearby = publication.saturating_sub(NEIGHBOURS)..=publication.saturating_add(NEIGHBOURS);
        let origin = nearby
            .find(|other| matches(*other, *first, word))
            .map_or_else(|| "of no publication nearby".into(), |other| format!("of publication {other}"));
        let (count, all) = (wrong.len(), payload.len().div_ceil(WORD));
        format!(
            "publication {publication} is torn: {count} of {all} words are wrong, \
             the first at {first}: {origin}"
        )
    }

    /// The words of a publication. Only payloads that begin with their writer's life depend on it.
    fn words(self, publication: u64, life: u64) -> Words {
        let life = if self.len(publication) >= MIN_SIGNED { life } else { 0 };
        Words { key: scramble(scramble(self.seed, publication), life), life }
    }
}

/// The words of one payload.
struct Words {
    key: u64,
    life: u64,
}

impl Words {
    /// Two keys have no word in common at any index, because the key's factor is odd.
    #[inline]
    fn word(&self, index: u64) -> u64 {
        if index == 0 && self.life != 0 {
            return self.life;
        }
        self.key.wrapping_mul(2 * index + 1).rotate_left(29) ^ index
    }
}

fn first_word(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// A number without visible relation to `seed` and `number`. Different numbers give different
/// results for the same seed.
pub(super) fn scramble(seed: u64, number: u64) -> u64 {
    let mut state = seed.wrapping_add(0x6a09_e667_f3bc_c909) ^ number.wrapping_mul(0xbb67_ae85_84ca_a73b);
    for factor in [0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1, 0x510e_527f_ade6_82d1] {
        state = (state ^ (state >> 32)).wrapping_mul(factor);
    }
    state ^ (state >> 32)
}

/// Applies the check to forged payloads. If the check accepts one of them, a run proves nothing.
pub(super) fn try_forgeries(seed: u64) -> Forgeries {
    let content = Content::new(seed, 0, Sizes::Mixed);
    let mut forgeries = Forgeries { tried: 0, accepted: 0 };
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for publication in 1..=256 {
        content.write(publication, 1, &mut ours);
        // First the same number by another life, then another number.
        content.write(publication, 2, &mut other);
        forgeries.mix(content, publication, &ours, &other);
        content.write(publication + 16, 1, &mut other);
        forgeries.mix(content, publication, &ours, &other);
    }
    forgeries
}

/// The number of forged payloads, and how many of them passed the check.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Forgeries {
    pub(super) tried: u64,
    pub(super) accepted: u64,
}

impl Forgeries {
    /// Forges our payload in three ways: with one word of the other, with the first half of the
    /// other, and one byte short.
    fn mix(&mut self, content: Content, publication: u64, ours: &[u8], other: &[u8]) {
        let words = ours.len().min(other.len()) / WORD;
        let half = words / 2 * WORD;
        for (from, to) in [(half, half + WORD), (0, half)] {
            let fits = to <= words * WORD && from < to;
            if fits && ours[from..to] != other[from..to] {
                let mut forged = ours.to_vec();
                forged[from..to].copy_from_slice(&other[from..to]);
                // If the result equals the other life's payload, it is not a forgery.
                if forged != other {
                    self.check(content, publication, &forged);
                }
            }
        }
        if let Some((_, short)) = ours.split_last() {
            self.check(content, publication, short);
        }
    }

    fn check(&mut self, content: Content, publication: u64, forged: &[u8]) {
        self.tried += 1;
        self.accepted += u64::from(content.check(publication, forged).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_SIZES: [Sizes; 3] = [Sizes::Tiny, Sizes::Mixed, Sizes::Plain];

    fn payload(content: Content, publication: u64, life: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        content.write(publication, life, &mut payload);
        payload
    }

    #[test]
    fn every_publication_of_every_life_is_accepted() {
        for sizes in ALL_SIZES {
            let content = Content::new(7, 3, sizes);
            for publication in 1..500 {
                for life in 1..3 {
                    let payload = payload(content, publication, life);
                    assert_eq!(content.check(publication, &payload), Ok(()), "{publication} of life {life}");
                }
            }
        }
    }

    #[test]
    fn every_wrong_bit_is_noticed() {
        let content = Content::new(1, 0, Sizes::Tiny);
        for len in [1, 13, 45, 61] {
            let publication = (1..).find(|number| content.len(*number) == len).expect("lengths repeat");
            for bit in 0..len * 8 {
                let mut payload = payload(content, publication, 1);
                payload[bit / 8] ^= 1 << (bit % 8);
                assert!(content.check(publication, &payload).is_err(), "bit {bit} of {len} bytes");
            }
        }
    }

    #[test]
    fn a_wrong_length_and_another_publication_are_noticed() {
        let content = Content::new(1, 0, Sizes::Plain);
        let other = payload(content, 8, 1);
        assert!(content.check(8, &other[..PLAIN_BYTES - 1]).is_err());
        let reason = content.check(7, &other).expect_err("it is publication 8");
        // The first word is the life, which both payloads share.
        assert!(reason.contains("127 of 128 words are wrong, the first at 1: of publication 8"), "{reason}");
        let mut unsigned = Vec::new();
        Content::new(1, 1, Sizes::Plain).write(8, 1, &mut unsigned);
        let reason = content.check(8, &unsigned).expect_err("it is another channel's");
        assert!(reason.contains("of no publication nearby"), "{reason}");
    }

    #[test]
    fn another_channel_seed_number_or_a_mixture_of_lives_is_noticed() {
        let content = Content::new(1, 0, Sizes::Tiny);
        let publication = (1..).find(|number| content.len(*number) == 64).expect("lengths repeat");
        let ours = payload(content, publication, 1);
        let others = ALL_SIZES.map(|sizes| (Content::new(1, 1, sizes), Content::new(2, 0, sizes)));
        for other in others.into_iter().flat_map(|(channel, seed)| [channel, seed]) {
            assert!(other.check(publication, &ours).is_err());
        }
        assert!(content.check(publication + 1, &ours).is_err());
        let mut mixed = payload(content, publication, 2);
        mixed[32..].copy_from_slice(&ours[32..]);
        let reason = content.check(publication, &mixed).expect_err("half of it is another life's");
        assert!(reason.contains("4 of 8 words are wrong, the first at 4"), "{reason}");
    }

    #[test]
    fn no_forgery_is_accepted_and_many_are_tried() {
        let forgeries = try_forgeries(5);
        assert_eq!(forgeries.accepted, 0);
        assert!(forgeries.tried > 500, "{forgeries:?}");
    }

    #[test]
    fn tiny_lengths_cover_what_they_promise() {
        let tiny = Content::new(9, 1, Sizes::Tiny);
        let lengths = || (1..5000).map(|publication| tiny.len(publication));
        assert_eq!((lengths().min(), lengths().max()), (Some(0), Some(MAX_TINY_BYTES)));
    }

    #[test]
    fn mixed_lengths_cover_every_octave() {
        let mixed = Content::new(3, 0, Sizes::Mixed);
        let mut octaves = [0; MAX_OCTAVE as usize + 2];
        for publication in 1..20_000 {
            let len = mixed.len(publication);
            assert!(len <= 1 << MAX_OCTAVE);
            octaves[len.checked_ilog2().map_or(0, |octave| octave as usize + 1)] += 1;
        }
        assert!(octaves[..=MAX_OCTAVE as usize].iter().all(|count| *count > 500), "{octaves:?}");
    }
}
