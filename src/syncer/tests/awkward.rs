//! A state whose encoding takes long, fails or panics.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{Codec, Decode, Encode, error::CodecError};

/// What encoding it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Good,
    Slow,
    Failing,
    Panicking,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Awkward {
    pub(super) value: u64,
    pub(super) mood: Mood,
    /// The names of the threads on which it was encoded.
    pub(super) threads: Arc<Mutex<Vec<String>>>,
}

impl Awkward {
    pub(super) fn new(value: u64, mood: Mood) -> Awkward {
        Awkward { value, mood, ..Awkward::default() }
    }
}

/// How long encoding takes in a slow mood: more than one of the shortest intervals.
pub(super) const SLOW: Duration = Duration::from_millis(5);

/// Encodes the value, as the mood is.
#[derive(Debug)]
pub(super) struct Moody;

impl Codec<Awkward> for Moody {
    const NAME: &'static str = "moody";
}

impl Encode<Awkward> for Moody {
    fn encode<'a>(state: &'a Awkward, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        let thread = std::thread::current().name().unwrap_or("nameless").to_owned();
        state.threads.lock().unwrap().push(thread);
        scratch.clear();
        scratch.extend_from_slice(&state.value.to_le_bytes());
        match state.mood {
            Mood::Good => {}
            Mood::Slow => std::thread::sleep(SLOW),
            Mood::Failing => return Err("in a failing mood".into()),
            Mood::Panicking => panic!("in a panicking mood"),
        }
        Ok(scratch)
    }
}

impl Decode<Awkward> for Moody {
    fn decode(payload: &[u8]) -> Result<Awkward, CodecError> {
        Ok(Awkward::new(u64::from_le_bytes(payload.try_into()?), Mood::Good))
    }
}
