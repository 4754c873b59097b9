//! What the workers publish: states that can be sampled, and that can prove to whoever reads them that they are one whole
//! sampling and no mixture of two. The example `examples/http` has this very module, too.

pub(crate) mod kind;
mod plain;
mod purse;
mod samples;

pub(crate) use purse::{Coins, Purse};

use std::{
    hash::{DefaultHasher, Hasher},
    io,
    time::Duration,
};

use postcard_schema::Schema;
use procfs::{ProcError, ProcResult};
use serde::{Deserialize, Serialize};
use tearless::{Encode, MessagePack, Pod, Postcard, WriterBuilder, schema::DescribePod};

/// A state that a worker publishes.
pub(crate) trait State: Serialize + Send + Sized + 'static {
    /// How long the worker pauses between two samplings. Zero: it samples as fast as it can.
    const PAUSE: Duration;

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

/// A codec whose channels say what is in them, as far as the type of the state can say it.
pub(crate) trait Telling<T>: Encode<T> + Sized {
    /// Lets the channel carry the schema of its states, where that takes one.
    fn describe(builder: WriterBuilder<T, Self>) -> WriterBuilder<T, Self>;
}

impl<T: Serialize> Telling<T> for MessagePack {
    fn describe(builder: WriterBuilder<T, Self>) -> WriterBuilder<T, Self> {
        builder
    }
}

impl<T: bytemuck::Pod + DescribePod> Telling<T> for Pod {
    fn describe(builder: WriterBuilder<T, Self>) -> WriterBuilder<T, Self> {
        builder.with_schema()
    }
}

impl<S: Sample> Telling<Sampled<S>> for Postcard {
    fn describe(builder: WriterBuilder<Sampled<S>, Self>) -> WriterBuilder<Sampled<S>, Self> {
        S::describe(builder)
    }
}

/// What a kind with strings, lists or maps samples. [`Sampled`] makes a [`State`] of it.
pub(crate) trait Sample: Serialize + Send + Sized + 'static {
    /// How long the worker pauses between two samplings.
    const PAUSE: Duration;

    /// How its samplings are published.
    const WAY: Way;

    /// Reads it from `/proc`; `None` where this host doesn't offer it.
    fn sample() -> io::Result<Option<Self>>;

    /// As [`Telling::describe`]. The types of the procfs crate have no schema.
    fn describe(builder: WriterBuilder<Sampled<Self>, Postcard>) -> WriterBuilder<Sampled<Self>, Postcard> {
        builder
    }
}

/// A sample and its checksum.
#[derive(Serialize, Deserialize, Schema)]
pub(crate) struct Sampled<S> {
    sample: Option<S>,
    sum: u64,
}

impl<S: Sample> State for Sampled<S> {
    const PAUSE: Duration = S::PAUSE;
    const WAY: Way = S::WAY;

    fn sample(_: u64) -> io::Result<Self> {
        let sample = S::sample()?;
        let sum = checksum_encoded(&sample).map_err(io::Error::other)?;
        Ok(Self { sample, sum })
    }

    fn is_whole(&self, _: u64) -> bool {
        checksum_encoded(&self.sample).is_ok_and(|sum| sum == self.sum)
    }
}

/// Not every host has every file: containers hide some, old kernels lack some, and processes end while they
/// are looked at, which leaves some files empty. Any other failure is a failure.
fn optional<T>(result: ProcResult<T>) -> io::Result<Option<T>> {
    /// A process that ended between the opening and the reading of its file.
    const NO_SUCH_PROCESS: i32 = 3;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ProcError::NotFound(_) | ProcError::PermissionDenied(_) | ProcError::Incomplete(_)) => Ok(None),
        Err(ProcError::Io(error, _)) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The checksum of a value's Postcard bytes, which doesn't depend on the codec that carries the state.
fn checksum_encoded<T: Serialize>(value: &T) -> postcard::Result<u64> {
    Ok(checksum(&postcard::to_stdvec(value)?))
}

/// A checksum that is the same in all processes of one program.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
