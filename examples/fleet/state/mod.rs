//! What the workers publish: states that can be sampled, and that can prove to whoever reads them that they are one whole
//! sampling and no mixture of two. The example `examples/http` has this very module, too.

pub(crate) mod kind;
mod plain;
mod proc;
mod purse;
mod samples;

pub(crate) use purse::{Coins, Purse};

use std::{io, time::Duration};

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// A state that a worker publishes.
pub(crate) trait State: Serialize + Send + Sized + 'static {
    /// How often the worker samples it. Zero: as fast as it can.
    const EVERY: Duration;

    /// How its samplings are published.
    const WAY: Way;

    /// Samples this host, for the publication of that number if each sampling is one.
    fn sample(publication: u64) -> io::Result<Self>;

    /// Whether all of it comes from one and the same [`State::sample`], and, as far as that is known, from that for
    /// this publication.
    fn is_whole(&self, publication: u64) -> bool;
}

/// How a worker publishes what it samples.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Each sampling, at once.
    Each,
    /// Each sampling that is not what the last one was.
    Changed,
    /// At an interval, in the background, whatever the state is then.
    Synced,
}

/// What a kind with strings, lists or maps samples. [`Sampled`] makes a [`State`] of it.
pub(crate) trait Sample: Serialize + Send + Sized + 'static {
    /// How often the worker samples it.
    const EVERY: Duration;

    /// How its samplings are published.
    const WAY: Way;

    /// Reads it from `/proc`; `None` where this host doesn't offer it.
    fn sample() -> io::Result<Option<Self>>;

    /// Whether the relations hold that [`Sample::sample`] established, such as "the total is the sum of the parts". They
    /// are no relations between the kernel's own counters: those move while the kernel prints them. Without any, there
    /// is still the checksum.
    fn relations_hold(&self) -> bool {
        true
    }
}

/// A sample and its checksum.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sampled<S> {
    sample: Option<S>,
    sum: u64,
}

impl<S: Sample> State for Sampled<S> {
    const EVERY: Duration = S::EVERY;
    const WAY: Way = S::WAY;

    fn sample(_: u64) -> io::Result<Self> {
        let sample = S::sample()?;
        let sum = checksum(&sample).map_err(io::Error::other)?;
        Ok(Self { sample, sum })
    }

    fn is_whole(&self, _: u64) -> bool {
        checksum(&self.sample).is_ok_and(|sum| sum == self.sum)
            && self.sample.as_ref().is_none_or(Sample::relations_hold)
    }
}

/// The FNV-1a hash of a value's Postcard bytes, which are hashed as they come and stored nowhere. It doesn't depend on the
/// codec that carries the state.
fn checksum<T: Serialize>(value: &T) -> postcard::Result<u64> {
    postcard::serialize_with_flavor(value, Fnv(FNV_OFFSET))
}

/// The checksum of states without padding: as [`checksum`], by whole words.
fn checksum_words(words: &[u64]) -> u64 {
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
