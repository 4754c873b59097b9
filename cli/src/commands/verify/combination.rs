//! The combinations of options that the torture covers: one channel for each.

use std::time::Duration;

use tearless::{
    Decode, Encode, Namespace, Reader, Writer,
    error::{AttachError, CreateError},
};

use super::content::{Content, PLAIN_BYTES, Sizes};

/// How long one attempt to attach waits for a channel that its writer is about to create.
const ATTACH: Duration = Duration::from_millis(100);

/// Initial capacity of the channels of bytes: small, so that they must grow.
const INITIAL_CAPACITY: usize = 64;

/// The number of slots of a channel's rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// One slot in each segment, the classic double buffer: the writer overtakes its readers all
    /// the time.
    One,
    /// The library's default.
    Default,
}

/// Whether publications carry a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Off,
    On,
}

/// The state of the channels of plain data.
pub(super) type Plain = [u64; PLAIN_BYTES / size_of::<u64>()];

/// One channel and its options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Combination {
    pub(super) channel: &'static str,
    pub(super) sizes: Sizes,
    pub(super) depth: Depth,
    checksum: Checksum,
}

impl Combination {
    const fn new(channel: &'static str, sizes: Sizes, depth: Depth, checksum: Checksum) -> Combination {
        Combination { channel, sizes, depth, checksum }
    }
}

/// Every combination. [`Sizes::Plain`] goes through the `Pod` codec, as [`Plain`]; the others
/// through
/// `Bytes`.
pub(super) const COMBINATIONS: [Combination; 12] = [
    Combination::new("mixed sizes, depth 1", Sizes::Mixed, Depth::One, Checksum::Off),
    Combination::new("mixed sizes, depth 1, checksum", Sizes::Mixed, Depth::One, Checksum::On),
    Combination::new("mixed sizes", Sizes::Mixed, Depth::Default, Checksum::Off),
    Combination::new("mixed sizes, checksum", Sizes::Mixed, Depth::Default, Checksum::On),
    Combination::new("tiny, depth 1", Sizes::Tiny, Depth::One, Checksum::Off),
    Combination::new("tiny, depth 1, checksum", Sizes::Tiny, Depth::One, Checksum::On),
    Combination::new("tiny", Sizes::Tiny, Depth::Default, Checksum::Off),
    Combination::new("tiny, checksum", Sizes::Tiny, Depth::Default, Checksum::On),
    Combination::new("pod, depth 1", Sizes::Plain, Depth::One, Checksum::Off),
    Combination::new("pod, depth 1, checksum", Sizes::Plain, Depth::One, Checksum::On),
    Combination::new("pod", Sizes::Plain, Depth::Default, Checksum::Off),
    Combination::new("pod, checksum", Sizes::Plain, Depth::Default, Checksum::On),
];

impl Combination {
    /// The payloads of `COMBINATIONS[index]`.
    pub(super) fn content(index: usize, seed: u64) -> Content {
        Content::new(seed, index, COMBINATIONS[index].sizes)
    }

    pub(super) fn writer<T: ?Sized, C: Encode<T>>(
        &self,
        namespace: &Namespace,
    ) -> Result<Writer<T, C>, CreateError> {
        let builder = namespace.writer_builder::<T>(self.channel).codec::<C>();
        let mut builder = builder.checksum(self.checksum == Checksum::On);
        if self.sizes != Sizes::Plain {
            builder = builder.capacity(INITIAL_CAPACITY);
        }
        if self.depth == Depth::One {
            builder = builder.slots(2);
        }
        builder.open()
    }

    /// Waits for the channel until `is_over`.
    pub(super) fn reader<T, C: Decode<T>>(
        &self,
        namespace: &Namespace,
        is_over: impl Fn() -> bool,
    ) -> Result<Reader<T, C>, AttachError> {
        loop {
            let builder = namespace.reader_builder::<T>(self.channel).codec::<C>();
            match builder.attach_within(ATTACH).open() {
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) if !is_over() => {}
                result => return result,
            }
        }
    }
}
