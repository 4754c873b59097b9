//! The channels that are tortured.

use std::time::Duration;

use tearless::{
    Bytes, Namespace, Reader, Writer,
    error::{AttachError, CreateError},
};

use super::content::{Content, Sizes};

/// How long a reader waits at once for a channel that its writer is about to make.
const ATTACH: Duration = Duration::from_millis(100);

/// Payload bytes that a channel has room for at first: little, so that it has to grow.
const LITTLE: usize = 64;

/// How deep the rings of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// One slot in each segment: readers are lapped all the time.
    One,
    /// As many as the library chooses.
    Default,
}

/// Whether publications carry a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Off,
    On,
}

/// One channel and its options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) channel: &'static str,
    sizes: Sizes,
    depth: Depth,
    checksum: Checksum,
}

impl Run {
    const fn new(channel: &'static str, sizes: Sizes, depth: Depth, checksum: Checksum) -> Run {
        Run { channel, sizes, depth, checksum }
    }
}

/// Every combination.
pub(super) const RUNS: [Run; 8] = [
    Run::new("mixed sizes, depth 1", Sizes::Mixed, Depth::One, Checksum::Off),
    Run::new("mixed sizes, depth 1, checksum", Sizes::Mixed, Depth::One, Checksum::On),
    Run::new("mixed sizes", Sizes::Mixed, Depth::Default, Checksum::Off),
    Run::new("mixed sizes, checksum", Sizes::Mixed, Depth::Default, Checksum::On),
    Run::new("tiny, depth 1", Sizes::Tiny, Depth::One, Checksum::Off),
    Run::new("tiny, depth 1, checksum", Sizes::Tiny, Depth::One, Checksum::On),
    Run::new("tiny", Sizes::Tiny, Depth::Default, Checksum::Off),
    Run::new("tiny, checksum", Sizes::Tiny, Depth::Default, Checksum::On),
];

impl Run {
    /// What is published on `RUNS[index]`.
    pub(super) fn content(index: usize, seed: u64) -> Content {
        Content::new(seed, index, RUNS[index].sizes)
    }

    pub(super) fn writer(&self, namespace: &Namespace) -> Result<Writer<[u8], Bytes>, CreateError> {
        let builder = namespace.writer_builder::<[u8]>(self.channel).codec::<Bytes>().capacity(LITTLE);
        let builder = builder.checksum(self.checksum == Checksum::On);
        match self.depth {
            Depth::One => builder.slots(2).open(),
            Depth::Default => builder.open(),
        }
    }

    /// Waits for the channel until `is_off`.
    pub(super) fn reader(
        &self,
        namespace: &Namespace,
        is_off: impl Fn() -> bool,
    ) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
        let builder =
            namespace.reader_builder::<Vec<u8>>(self.channel).codec::<Bytes>().attach_within(ATTACH);
        loop {
            match builder.clone().open() {
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) if !is_off() => {}
                result => return result,
            }
        }
    }
}
