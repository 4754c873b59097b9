//! The combinations of options that the torture covers: one channel for each.

use std::time::Duration;

use tearless::{
    Decode, Encode, Namespace, Reader, ReaderBuilder, Writer,
    error::{AttachError, CreateError},
    view::TrustedWriters,
};

use super::content::{Content, PLAIN_BYTES, Sizes};

/// How long one attempt to attach waits for a channel that its writer is about to create.
const ATTACH: Duration = Duration::from_millis(100);

/// Initial capacity of the channels of bytes: small, so that they must grow.
const INITIAL_CAPACITY: usize = 64;

/// Pins of the channels that have some: fewer than their readers ask for.
const PINS: usize = 3;

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
    pub(super) pins: usize,
}

/// Every combination. [`Sizes::Plain`] goes through the `Pod` codec, as [`Plain`]; the others
/// through `Bytes`.
pub(super) const COMBINATIONS: [Combination; 14] = {
    const ONE: Option<usize> = Some(2);
    use Sizes::{Mixed, Plain, Tiny};
    [
        Combination { channel: "mixed sizes, depth 1", sizes: Mixed, slots: ONE, checksum: false, pins: 0 },
        Combination {
            channel: "mixed sizes, depth 1, checksum",
            sizes: Mixed,
            slots: ONE,
            checksum: true,
            pins: 0,
        },
        Combination { channel: "mixed sizes", sizes: Mixed, slots: None, checksum: false, pins: 0 },
        Combination { channel: "mixed sizes, checksum", sizes: Mixed, slots: None, checksum: true, pins: 0 },
        Combination {
            channel: "mixed sizes, depth 1, pins",
            sizes: Mixed,
            slots: ONE,
            checksum: false,
            pins: PINS,
        },
        Combination { channel: "mixed sizes, pins", sizes: Mixed, slots: None, checksum: true, pins: PINS },
        Combination { channel: "tiny, depth 1", sizes: Tiny, slots: ONE, checksum: false, pins: 0 },
        Combination { channel: "tiny, depth 1, checksum", sizes: Tiny, slots: ONE, checksum: true, pins: 0 },
        Combination { channel: "tiny", sizes: Tiny, slots: None, checksum: false, pins: 0 },
        Combination { channel: "tiny, checksum", sizes: Tiny, slots: None, checksum: true, pins: 0 },
        Combination { channel: "pod, depth 1", sizes: Plain, slots: ONE, checksum: false, pins: 0 },
        Combination { channel: "pod, depth 1, checksum", sizes: Plain, slots: ONE, checksum: true, pins: 0 },
        Combination { channel: "pod", sizes: Plain, slots: None, checksum: false, pins: 0 },
        Combination { channel: "pod, checksum", sizes: Plain, slots: None, checksum: true, pins: 0 },
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
        builder.pins(self.pins).open()
    }

    /// Waits for the channel until `is_over`.
    pub(super) fn reader<T, C: Decode<T>>(
        &self,
        namespace: &Namespace,
        is_over: impl Fn() -> bool,
    ) -> Result<Reader<T, C>, AttachError> {
        loop {
            let builder = namespace.reader_builder::<T>(self.channel).codec::<C>();
            match in_place(builder).attach_within(ATTACH).open() {
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) if !is_over() => {}
                result => return result,
            }
        }
    }
}

/// Lets views of a channel of the torture be in place.
#[expect(unsafe_code, reason = "a promise, for a namespace that only this run uses")]
fn in_place<T, C>(builder: ReaderBuilder<T, C>) -> ReaderBuilder<T, C> {
    // SAFETY: only the writers and readers of the run store to its channels, and none of them
    // forks.
    builder.views_in_place(unsafe { TrustedWriters::new() })
}
