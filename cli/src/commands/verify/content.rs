//! What stands in which publication, so that a reader can check every word of it without being told.

/// Bytes of a word.
const WORD: usize = 8;

/// Payloads of at least so many bytes begin with the life of the writer that published them.
const SIGNED: usize = 2 * WORD;

/// The largest payload.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// How long the payloads of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// From none to 128 bytes, all as likely.
    Tiny,
    /// From none to [`MAX_BYTES`]: each doubling is as likely as any other, so that the channel grows and
    /// grows.
    Mixed,
}

/// All payloads of one channel: a function of the seed, the channel, the publication's number and the
/// writer's life.
///
/// A publication that a killed writer was in the middle of is published once more by its successor, under the
/// same number. The life makes their words differ, so that a mixture of both is noticed, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    seed: u64,
    /// Seeds that differ in the last bit only have the same lengths: so that a test can have wrong words at
    /// right lengths.
    lengths: u64,
    sizes: Sizes,
}

impl Content {
    pub(super) fn new(seed: u64, channel: usize, sizes: Sizes) -> Content {
        let of = |seed| scramble(seed, channel as u64);
        Content { seed: of(seed), lengths: of(seed >> 1), sizes }
    }

    /// Payload bytes of a publication.
    pub(super) fn len(self, publication: u64) -> usize {
        let random = scramble(self.lengths, publication);
        let within = |max: usize| usize::try_from((random >> 8) % (max as u64 + 1)).unwrap_or(max);
        match self.sizes {
            Sizes::Tiny => within(128),
            Sizes::Mixed => {
                let doublings = MAX_BYTES.ilog2() + 1;
                within((1 << (random % u64::from(doublings))) as usize)
            }
        }
    }

    /// Replaces `payload` by that of a publication.
    pub(super) fn write(self, publication: u64, life: u64, payload: &mut Vec<u8>) {
        let len = self.len(publication);
        let life = if len >= SIGNED { life } else { 0 };
        let words = Words { key: self.key(publication, life), life };
        payload.clear();
        payload.reserve(len + WORD);
        for index in 0..len.div_ceil(WORD) as u64 {
            payload.extend_from_slice(&words.word(index).to_le_bytes());
        }
        payload.truncate(len);
    }

    /// Compares length and every word with what was published.
    ///
    /// # Errors
    ///
    /// What is wrong, in words.
    pub(super) fn check(self, publication: u64, payload: &[u8]) -> Result<(), String> {
        let len = self.len(publication);
        if payload.len() != len {
            return Err(format!("publication {publication} has {} bytes instead of {len}", payload.len()));
        }
        let life = if len >= SIGNED { first_word(payload) } else { 0 };
        let words = Words { key: self.key(publication, life), life };
        let (whole, rest) = payload.as_chunks::<WORD>();
        // Gathered, not looked at one by one: so the check is nearly as fast as the copy that it checks.
        let mut difference = 0;
        for (index, word) in (0..).zip(whole) {
            difference |= words.word(index) ^ u64::from_le_bytes(*word);
        }
        let last = words.word(whole.len() as u64).to_le_bytes();
        match difference == 0 && last.starts_with(rest) {
            true => Ok(()),
            false => Err(words.explain(publication, whole)),
        }
    }

    fn key(self, publication: u64, life: u64) -> u64 {
        scramble(scramble(self.seed, publication), life)
    }
}

/// The words of one payload.
struct Words {
    key: u64,
    life: u64,
}

impl Words {
    /// No two keys have a word in common at any index, because what the key is multiplied by is odd.
    #[inline]
    fn word(&self, index: u64) -> u64 {
        if index == 0 && self.life != 0 {
            return self.life;
        }
        self.key.wrapping_mul(2 * index + 1).rotate_left(29) ^ index
    }

    #[cold]
    fn explain(&self, publication: u64, words: &[[u8; WORD]]) -> String {
        let wrong = (0..).zip(words).filter(|(index, word)| self.word(*index).to_le_bytes() != **word);
        let wrong: Vec<u64> = wrong.map(|(index, _)| index).collect();
        let first = wrong.first().map_or_else(|| "in the last bytes".into(), |first| format!("at {first}"));
        let (count, all) = (wrong.len(), words.len());
        format!("publication {publication} is torn: {count} of {all} words are wrong, the first {first}")
    }
}

fn first_word(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// A number that looks as if it had nothing to do with `seed` and `number`. Of one seed, no two numbers give
/// the same.
pub(super) fn scramble(seed: u64, number: u64) -> u64 {
    let mut state = seed.wrapping_add(0x6a09_e667_f3bc_c909) ^ number.wrapping_mul(0xbb67_ae85_84ca_a73b);
    for factor in [0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1, 0x510e_527f_ade6_82d1] {
        state = (state ^ (state >> 32)).wrapping_mul(factor);
    }
    state ^ (state >> 32)
}

/// How the check does on payloads that were forged. If it accepts one, it is worth nothing.
pub(super) fn try_forgeries(seed: u64) -> Forgeries {
    let content = Content::new(seed, 0, Sizes::Mixed);
    let mut forgeries = Forgeries { tried: 0, accepted: 0 };
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for publication in 1..=256 {
        content.write(publication, 1, &mut ours);
        // The same number by another life, and another number: in turn.
        content.write(publication, 2, &mut other);
        forgeries.mix(content, publication, &ours, &other);
        content.write(publication + 16, 1, &mut other);
        forgeries.mix(content, publication, &ours, &other);
    }
    forgeries
}

/// How a check did on payloads that are not what was published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forgeries {
    pub(super) tried: u64,
    pub(super) accepted: u64,
}

impl Forgeries {
    /// Tries the two payloads torn: one word of the other in ours, the first half of the other, and one byte
    /// short.
    fn mix(&mut self, content: Content, publication: u64, ours: &[u8], other: &[u8]) {
        let words = ours.len().min(other.len()) / WORD;
        let half = words / 2 * WORD;
        for (from, to) in [(half, half + WORD), (0, half)] {
            let fits = to <= words * WORD && from < to;
            if fits && ours[from..to] != other[from..to] {
                let mut forged = ours.to_vec();
                forged[from..to].copy_from_slice(&other[from..to]);
                // All of it may then be the other life's payload, which is none.
                if forged != other {
                    self.check(content, publication, &forged);
                }
            }
        }
        if let Some((_, short)) = ours.split_last() {
            self.check(content, publication, short);
        }
    }

    /// How many the check did not accept.
    pub(super) fn refused(self) -> u64 {
        self.tried - self.accepted
    }

    fn check(&mut self, content: Content, publication: u64, forged: &[u8]) {
        self.tried += 1;
        self.accepted += u64::from(content.check(publication, forged).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(content: Content, publication: u64, life: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        content.write(publication, life, &mut payload);
        payload
    }

    #[test]
    fn what_was_published_is_accepted_whoever_published_it() {
        for sizes in [Sizes::Tiny, Sizes::Mixed] {
            let content = Content::new(7, 3, sizes);
            for publication in 1..400 {
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
        let publication = (1..).find(|number| content.len(*number) == 45).expect("lengths repeat");
        for bit in 0..45 * 8 {
            let mut payload = payload(content, publication, 1);
            payload[bit / 8] ^= 1 << (bit % 8);
            assert!(content.check(publication, &payload).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_channel_seed_number_or_a_mixture_of_lives_is_noticed() {
        let content = Content::new(1, 0, Sizes::Tiny);
        let publication = (1..).find(|number| content.len(*number) == 64).expect("lengths repeat");
        let ours = payload(content, publication, 1);
        for other in [Content::new(1, 1, Sizes::Tiny), Content::new(2, 0, Sizes::Tiny)] {
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
    fn lengths_cover_what_they_promise() {
        let tiny = Content::new(9, 1, Sizes::Tiny);
        let mixed = Content::new(9, 2, Sizes::Mixed);
        let lengths = |content: Content| (1..5000).map(move |publication| content.len(publication));
        assert_eq!(lengths(tiny).min(), Some(0));
        assert_eq!(lengths(tiny).max(), Some(128));
        assert_eq!(lengths(mixed).min(), Some(0));
        assert!(lengths(mixed).max() > Some(MAX_BYTES / 2));
        assert!(lengths(mixed).all(|len| len <= MAX_BYTES));
    }
}
