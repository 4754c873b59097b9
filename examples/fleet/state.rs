//! What the workers publish, seen from outside: a state that can be sampled, and that can prove to whoever
//! reads it that it is one whole sampling and no mixture of two.

use std::{io, time::Duration};

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// A state that a worker publishes.
pub(crate) trait State: Sized {
    /// How often the worker samples it. Zero: as fast as it can.
    const EVERY: Duration;

    /// Samples this host. `sequence` is the number that the publication of this state is going to have.
    fn sample(sequence: u64) -> io::Result<Self>;

    /// The number given to [`State::sample`].
    fn sequence(&self) -> u64;

    /// Whether all of it comes from one and the same [`State::sample`].
    fn is_consistent(&self) -> bool;
}

/// What a kind with strings, lists or maps samples. [`Sampled`] makes a [`State`] of it.
pub(crate) trait Sample: Sized + Serialize {
    /// How often the worker samples it.
    const EVERY: Duration;

    /// Reads it from `/proc`; `None` where this host doesn't offer it.
    fn sample() -> io::Result<Option<Self>>;

    /// Whether the relations hold that [`Sample::sample`] established, such as "the total is the sum of the
    /// parts". They are no relations between the kernel's own counters: those move while the kernel prints
    /// them. Without any, there is still the checksum.
    fn relations_hold(&self) -> bool {
        true
    }
}

/// A sample between its sequence number and the checksum of both. That changes with the sequence: even if two
/// samplings are alike but for a byte, the beginning of one and the end of the other don't belong together.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sampled<S> {
    sequence: u64,
    sample: Option<S>,
    sum: u64,
}

impl<S: Sample> State for Sampled<S> {
    const EVERY: Duration = S::EVERY;

    fn sample(sequence: u64) -> io::Result<Self> {
        let sample = S::sample()?;
        let sum = checksum(&(sequence, &sample)).map_err(io::Error::other)?;
        Ok(Self { sequence, sample, sum })
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn is_consistent(&self) -> bool {
        checksum(&(self.sequence, &self.sample)).is_ok_and(|sum| sum == self.sum)
            && self.sample.as_ref().is_none_or(Sample::relations_hold)
    }
}

/// The FNV-1a hash of a value's Postcard bytes, which are hashed as they come and stored nowhere. It doesn't
/// depend on the codec that carries the state.
fn checksum<T: Serialize>(value: &T) -> postcard::Result<u64> {
    postcard::serialize_with_flavor(value, Fnv(FNV_OFFSET))
}

/// The checksum of states without padding: as [`checksum`], by whole words.
pub(crate) fn checksum_words(words: &[u64]) -> u64 {
    words.iter().fold(FNV_OFFSET, |sum, word| (sum ^ word).wrapping_mul(FNV_PRIME).rotate_left(29))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Where Postcard "writes" to.
struct Fnv(u64);

impl Flavor for Fnv {
    type Output = u64;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<u64> {
        Ok(self.0)
    }
}
