//! The content of a state: its channel, its number, and what its worker knew. Every exchanged or
//! changed part is detected.

/// The number of worker processes, and of channels of each.
pub(crate) const WORKERS: usize = 12;
pub(crate) const CHANNELS: usize = 4;
pub(crate) const ALL: usize = WORKERS * CHANNELS;

const WORD: usize = 8;
const NAME_WORDS: usize = 2;
const EDITION: usize = NAME_WORDS;
const KNOWN: usize = EDITION + 1;
/// Words of the shortest state, including its checksum.
pub(crate) const MIN_WORDS: usize = KNOWN + CHANNELS + 1;

/// Bits of an edition for the number. The other bits are for the life.
const NUMBER_BITS: u32 = 40;

/// The finishing mixer of splitmix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A sequence of random numbers that a seed repeats.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random(mix(seed ^ mix(stream + 1)))
    }

    pub(crate) fn below(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mix(self.0) % max as u64).unwrap()
    }
}

/// One of the channels, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel(pub(crate) usize);

impl Channel {
    pub(crate) fn new(worker: usize, place: usize) -> Channel {
        Channel(worker * CHANNELS + place)
    }

    pub(crate) fn all() -> impl Iterator<Item = Channel> {
        (0..ALL).map(Channel)
    }

    pub(crate) fn worker(self) -> usize {
        self.0 / CHANNELS
    }

    /// The channel's position among its worker's channels.
    pub(crate) fn place(self) -> usize {
        self.0 % CHANNELS
    }

    pub(crate) fn name(self) -> String {
        format!("w{:02}-{}", self.worker(), self.place())
    }

    pub(crate) fn of_name(name: &str) -> Channel {
        Channel::all().find(|channel| channel.name() == name).unwrap_or_else(|| panic!("a stranger: {name}"))
    }

    fn words(self) -> [u64; NAME_WORDS] {
        let mut bytes = [0; NAME_WORDS * WORD];
        let name = self.name();
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let words = bytes.chunks_exact(WORD).map(word_of).collect::<Vec<_>>();
        words.try_into().unwrap()
    }
}

/// Identifies a state of a channel's name: the number of the publication, with the number of lives
/// of the name in front of it. Each life is a channel of its own that begins with number 1. Later
/// editions are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edition(pub(crate) u64);

impl Edition {
    pub(crate) fn new(life: u64, number: u64) -> Edition {
        assert!(number < 1 << NUMBER_BITS);
        Edition(life << NUMBER_BITS | number)
    }

    pub(crate) fn life(self) -> u64 {
        self.0 >> NUMBER_BITS
    }

    pub(crate) fn number(self) -> u64 {
        self.0 & ((1 << NUMBER_BITS) - 1)
    }
}

/// The content of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) edition: Edition,
    /// The last edition that the worker had published on each of its channels, without this state;
    /// zero where there is none.
    pub(crate) known: [Edition; CHANNELS],
}

impl Content {
    /// Writes the content as a state of `channel` with `words` words, and a few bytes.
    pub(crate) fn write(&self, channel: Channel, words: usize, state: &mut Vec<u8>) {
        let mut sum = Sum::new();
        state.clear();
        for index in 0..words.max(MIN_WORDS) - 1 {
            let word = self.word(channel, index);
            sum.add(word);
            state.extend(word.to_le_bytes());
        }
        state.extend(sum.0.to_le_bytes());
        state.extend(tail(self.edition));
    }

    fn word(&self, channel: Channel, index: usize) -> u64 {
        match index {
            0..NAME_WORDS => channel.words()[index],
            EDITION => self.edition.0,
            _ if index < KNOWN + CHANNELS => self.known[index - KNOWN].0,
            _ => mix(self.edition.0 ^ mix((channel.0 * 1_000_003 + index) as u64)),
        }
    }

    /// The content of a state of `channel`, or the reason why it is not one. Checks every byte.
    pub(crate) fn read(channel: Channel, state: &[u8]) -> Result<Content, String> {
        let words = state.chunks_exact(WORD);
        let rest = words.remainder();
        let words: Vec<u64> = words.map(word_of).collect();
        if words.len() < MIN_WORDS {
            return Err(format!("{} bytes only", state.len()));
        }
        let known = std::array::from_fn(|place| Edition(words[KNOWN + place]));
        let content = Content { edition: Edition(words[EDITION]), known };
        let last = words.len() - 1;
        let mut sum = Sum::new();
        words[..last].iter().for_each(|word| sum.add(*word));
        if words[..NAME_WORDS] != channel.words() {
            return Err(format!("a state of another channel: {words:x?}"));
        }
        let is_whole = (KNOWN + CHANNELS..last).all(|index| words[index] == content.word(channel, index));
        if !is_whole || words[last] != sum.0 || rest != tail(content.edition) {
            return Err(format!("torn: {} words of {content:?}", words.len()));
        }
        Ok(content)
    }
}

/// The checksum of everything in front of it.
struct Sum(u64);

impl Sum {
    fn new() -> Sum {
        Sum(1)
    }

    fn add(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word).wrapping_add(1);
    }
}

/// The bytes behind the last word.
fn tail(edition: Edition) -> Vec<u8> {
    let byte = edition.0.to_le_bytes()[0];
    vec![byte; usize::from(byte) % WORD]
}

fn word_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// Every kind of damage is detected. The one test of this program calls this, because it must be
/// alone in its process.
pub(crate) fn assert_that_damage_is_noticed() {
    let channel = Channel::new(7, 2);
    let content = Content { edition: Edition::new(3, 13), known: [1, 2, 3, 4].map(Edition) };
    let mut state = Vec::new();
    content.write(channel, 20, &mut state);
    assert_eq!(Content::read(channel, &state), Ok(content));
    for byte in 0..state.len() {
        state[byte] ^= 1;
        assert!(Content::read(channel, &state).is_err(), "byte {byte}");
        state[byte] ^= 1;
    }
    assert!(Content::read(channel, &state[..state.len() - 1]).is_err());
    assert!(Content::read(Channel::new(7, 1), &state).is_err());
}
