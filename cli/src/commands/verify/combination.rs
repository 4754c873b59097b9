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

/// The state of the channels of plain data.
pub(super) type Plain = [u64; PLAIN_BYTES / size_of::<u64>()];

/// One channel and its options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Combination {
    pub(super) channel: &'static str,
    pub(super) sizes: Sizes,
    /// With 2, each segment has a single one, the classic double buffer: the writer overtakes its
    /// readers all the time. `None`: the library's default.
    pub(super) slots: Option<usize>,
    checksum: bool,
}

/// Every combination. [`Sizes::Plain`] goes through the `Pod` codec, as [`Plain`]; the others
/// through `Bytes`.
pub(super) const COMBINATIONS: [Combination; 12] = {
    const ONE: Option<usize> = Some(2);
    use Sizes::{Mixed, Plain, Tiny};
    [
        Combination { channel: "mixed sizes, depth 1", sizes: Mixed, slots: ONE, checksum: false },
        Combination { channel: "mixed sizes, depth 1, checksum", sizes: Mixed, slots: ONE, checksum: true },
        Combination { channel: "mixed sizes", sizes: Mixed, slots: None, checksum: false },
        Combination { channel: "mixed sizes, checksum", sizes: Mixed, slots: None, checksum: true },
        Combination { channel: "tiny, depth 1", sizes: Tiny, slots: ONE, checksum: false },
        Combination { channel: "tiny, depth 1, checksum", sizes: Tiny, slots: ONE, checksum: true },
        Combination { channel: "tiny", sizes: Tiny, slots: None, checksum: false },
        Combination { channel: "tiny, checksum", sizes: Tiny, slots: None, checksum: true },
        Combination { channel: "pod, depth 1", sizes: Plain, slots: ONE, checksum: false },
        Combination { channel: "pod, depth 1, checksum", sizes: Plain, slots: ONE, checksum: true },
        Combination { channel: "pod", sizes: Plain, slots: None, checksum: false },
        Combination { channel: "pod, checksum", sizes: Plain, slots: None, checksum: true },
    ]
};

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
        let mut builder = builder.checksum(self.checksum);
        if self.sizes != Sizes::Plain {
            builder = builder.capacity(INITIAL_CAPACITY);
        }
        if let Some(slots) = self.slots {
            builder = builder.slots(slots);
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
