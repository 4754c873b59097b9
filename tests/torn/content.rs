//! What stands in which publication: a function of the seed, the channel and the publication's number.

const WORD_BYTES: usize = 8;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The longest payload, as a power of two: 256 KiB.
const MAX_OCTAVE: u32 = 18;
/// Bytes of the longest payload.
pub(crate) const MAX_BYTES: usize = 1 << MAX_OCTAVE;

/// One in so many publications is preceded by `shrink_to_fit`.
const SHRINK_EVERY: u64 = 2048;

/// The finishing mixer of splitmix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// How long the payloads of a channel are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// All alike, in bytes.
    Fixed(usize),
    /// From 0 to [`MAX_BYTES`]: every octave is as likely as any other.
    Logarithmic,
}

/// The content of all publications of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    seed: u64,
    length: Length,
}

impl Script {
    pub(crate) fn new(seed: u64, channel: usize, length: Length) -> Script {
        Script { seed: mix(seed ^ mix(channel as u64 + 1)), length }
    }

    /// Where the stream of words of a publication begins. No word of a payload is the number itself, so a payload
    /// that belongs to another number can't pass.
    fn key(self, publication: u64) -> u64 {
        mix(self.seed.wrapping_add(publication.wrapping_mul(GOLDEN)))
    }

    /// Whether the writer gives memory back before this publication.
    pub(crate) fn shrinks(self, publication: u64) -> bool {
        mix(!self.key(publication)).is_multiple_of(SHRINK_EVERY)
    }

    /// Payload bytes of a publication.
    pub(crate) fn len(self, publication: u64) -> usize {
        let octaves = u64::from(MAX_OCTAVE) + 1;
        let random = mix(self.key(publication).rotate_left(32));
        match (self.length, random % octaves) {
            (Length::Fixed(len), _) => len,
            (Length::Logarithmic, 0) => 0,
            (Length::Logarithmic, octave) => {
                let min = 1_u64 << (octave - 1);
                usize::try_from(min + (random >> 8) % (min + 1)).expect("at most 256 KiB")
            }
        }
    }

    /// Writes a publication's payload to the beginning of `room`, and gives that part back.
    pub(crate) fn write(self, publication: u64, room: &mut [u8]) -> &[u8] {
        let len = self.len(publication);
        let payload = &mut room[..len];
        let mut stream = Stream(self.key(publication));
        let mut words = payload.chunks_exact_mut(WORD_BYTES);
        for word in &mut words {
            word.copy_from_slice(&stream.word().to_le_bytes());
        }
        let rest = words.into_remainder();
        rest.copy_from_slice(&stream.word().to_le_bytes()[..rest.len()]);
        payload
    }

    /// Compares a payload with what was published, length and every word; if it differs, says how.
    pub(crate) fn check(self, publication: u64, payload: &[u8]) -> Result<(), String> {
        if payload.len() != self.len(publication) {
            return Err(format!("{} bytes instead of {}", payload.len(), self.len(publication)));
        }
        let mut stream = Stream(self.key(publication));
        let mut words = payload.chunks_exact(WORD_BYTES);
        // Differences are gathered and not looked at one by one, which keeps the loop as fast as the copy it checks.
        let mut difference = 0;
        for word in &mut words {
            difference |= stream.word() ^ word_of(word);
        }
        let rest = words.remainder();
        if difference == 0 && rest == &stream.word().to_le_bytes()[..rest.len()] {
            return Ok(());
        }
        Err(self.explain(publication, payload))
    }

    /// Which words are wrong, and to which publication the first of them belongs.
    #[cold]
    fn explain(self, publication: u64, payload: &[u8]) -> String {
        let expected = |publication: u64, index: usize, len: usize| {
            let mut stream = Stream(self.key(publication).wrapping_add(GOLDEN.wrapping_mul(index as u64)));
            stream.word().to_le_bytes()[..len].to_vec()
        };
        let wrong = payload
            .chunks(WORD_BYTES)
            .enumerate()
            .filter(|(index, word)| expected(publication, *index, word.len()) != *word)
            .collect::<Vec<_>>();
        let Some((first, word)) = wrong.first() else {
            return "no word is wrong any more: the private copy has changed".into();
        };
        let origin = (publication.saturating_sub(64)..publication + 64)
            .find(|other| expected(*other, *first, word.len()) == *word)
            .map_or_else(|| "of no publication nearby".into(), |other| format!("of publication {other}"));
        let words = payload.len().div_ceil(WORD_BYTES);
        format!("{} of {words} words are wrong, the first at {first}: {origin}", wrong.len())
    }
}

/// splitmix64.
struct Stream(u64);

impl Stream {
    #[inline]
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("a whole word"))
}

#[test]
fn the_check_takes_every_publication_as_it_is() {
    let script = Script::new(1, 0, Length::Logarithmic);
    let mut room = vec![0; MAX_BYTES];
    for publication in 1..500 {
        assert_eq!(script.check(publication, script.write(publication, &mut room)), Ok(()));
    }
}

#[test]
fn the_check_notices_a_wrong_bit_a_wrong_length_and_another_publication() {
    let script = Script::new(1, 0, Length::Fixed(61));
    let mut room = [0; 61];
    for bit in 0..61 * 8 {
        script.write(7, &mut room);
        room[bit / 8] ^= 1 << (bit % 8);
        assert!(script.check(7, &room).is_err(), "bit {bit}");
    }
    script.write(8, &mut room);
    assert!(script.check(8, &room[..60]).is_err());
    let reason = script.check(7, &room).expect_err("it is publication 8");
    assert!(reason.contains("8 of 8 words are wrong, the first at 0: of publication 8"), "{reason}");
    assert!(Script::new(1, 1, Length::Fixed(61)).check(8, &room).is_err(), "another channel");
    assert!(Script::new(2, 0, Length::Fixed(61)).check(8, &room).is_err(), "another seed");
}

#[test]
fn lengths_cover_every_octave() {
    let script = Script::new(3, 0, Length::Logarithmic);
    let mut octaves = [0; MAX_OCTAVE as usize + 2];
    for publication in 1..20_000 {
        let len = script.len(publication);
        assert!(len <= MAX_BYTES);
        octaves[len.checked_ilog2().map_or(0, |octave| octave as usize + 1)] += 1;
    }
    assert!(octaves[..=MAX_OCTAVE as usize].iter().all(|count| *count > 500), "{octaves:?}");
}
