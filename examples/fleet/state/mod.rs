//! What the workers publish: states that can be sampled, and that prove to a reader that they are
//! one whole sample. `examples/http` uses this module, too.

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
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tearless::{Encode, MessagePack, Pod, Postcard, WriterBuilder, schema::DescribePod};

/// A state that a worker publishes.
pub(crate) trait State: Serialize + Send + Sized + 'static {
    /// Pause between two samples. Zero: the worker samples as fast as it can.
    const PAUSE: Duration;

    /// How samples are published.
    const WAY: Way;

    /// Samples this host. `publication` is the sample's number if each sample is published.
    fn sample(publication: u64) -> io::Result<Self>;

    /// Whether the whole state comes from one call of [`State::sample`] and, if the state carries
    /// its number, from the call for this publication.
    fn is_whole(&self, publication: u64) -> bool;
}

/// How a worker publishes what it samples.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Each sample, at once.
    Each,
    /// Each sample that differs from the last one.
    Changed,
    /// The current sample, at an interval, in the background.
    Synced,
}

/// A codec whose channels can be read without the type, if the type has a schema.
pub(crate) trait Telling<T>: Encode<T> + Sized {
    /// Lets the channel carry a schema, if the codec needs one.
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

/// A sample with strings, lists or maps. [`Sampled`] makes it a [`State`].
pub(crate) trait Sample: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// Pause between two samples.
    const PAUSE: Duration;

    /// How samples are published.
    const WAY: Way;

    /// Reads the sample from `/proc`; `None` if this host doesn't offer it.
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

/// Turns the absence of a file into `None`: containers hide files, old kernels lack some, and a
/// process that ends during the read leaves empty ones. Any other failure is an error.
fn optional<T>(result: ProcResult<T>) -> io::Result<Option<T>> {
    /// `ESRCH`: the process ended between opening and reading its file.
    const NO_SUCH_PROCESS: i32 = 3;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ProcError::NotFound(_) | ProcError::PermissionDenied(_) | ProcError::Incomplete(_)) => Ok(None),
        Err(ProcError::Io(error, _)) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// The checksum of a value's Postcard bytes, independent of the codec that carries the state.
fn checksum_encoded<T: Serialize>(value: &T) -> postcard::Result<u64> {
    Ok(checksum(&postcard::to_stdvec(value)?))
}

/// A checksum that is the same in all processes of one program.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
