//! The combinations of options that are tortured: one channel each.

use tearless::{Bytes, Namespace, Pod, Reader, ReaderBuilder, Writer, WriterBuilder};

use crate::content::{Length, Script};

/// Payload bytes that the channels of bytes have room for at first: little, so that they have to grow.
const LITTLE: usize = 64;

/// The state of the channels of plain old data: 1 KiB, every word a function of the publication's number.
pub(crate) type Plain = [u64; 128];

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Bytes of changing length, through the `Bytes` codec.
    Bytes,
    /// [`Plain`], through the `Pod` codec.
    Plain,
}

/// How deep the rings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// One slot in each segment: the classic double buffer.
    One,
    /// As many as the library chooses.
    Default,
}

/// One combination of options, and which of the writer processes publishes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Combination {
    pub(crate) name: &'static str,
    pub(crate) payload: Payload,
    pub(crate) depth: Depth,
    checksum: bool,
    pub(crate) writer: usize,
}

impl Combination {
    const fn new(name: &'static str, payload: Payload, depth: Depth, checksum: bool, writer: usize) -> Self {
        Combination { name, payload, depth, checksum, writer }
    }
}

/// All of them. The four writer processes have one combination of bytes each; two of them have plain data, too.
pub(crate) const COMBINATIONS: [Combination; 6] = [
    Combination::new("bytes, depth 1", Payload::Bytes, Depth::One, false, 0),
    Combination::new("bytes, depth 1, checksum", Payload::Bytes, Depth::One, true, 1),
    Combination::new("bytes, default depth", Payload::Bytes, Depth::Default, false, 2),
    Combination::new("bytes, default depth, checksum", Payload::Bytes, Depth::Default, true, 3),
    Combination::new("pod, depth 1", Payload::Plain, Depth::One, false, 1),
    Combination::new("pod, default depth", Payload::Plain, Depth::Default, false, 3),
];

impl Combination {
    /// What stands in the publications of `COMBINATIONS[index]`.
    pub(crate) fn script(index: usize, seed: u64) -> Script {
        let length = match COMBINATIONS[index].payload {
            Payload::Bytes => Length::Logarithmic,
            Payload::Plain => Length::Fixed(size_of::<Plain>()),
        };
        Script::new(seed, index, length)
    }

    pub(crate) fn bytes_writer(&self, namespace: &Namespace) -> Writer<[u8], Bytes> {
        let builder = namespace.writer_builder::<[u8]>(self.name).codec::<Bytes>().capacity(LITTLE);
        self.with_options(builder).open().expect("a writer")
    }

    pub(crate) fn plain_writer(&self, namespace: &Namespace) -> Writer<Plain, Pod> {
        self.with_options(namespace.writer_builder::<Plain>(self.name).codec::<Pod>())
            .open()
            .expect("a writer")
    }

    fn with_options<T: ?Sized, C>(&self, builder: WriterBuilder<T, C>) -> WriterBuilder<T, C> {
        let builder = builder.checksum(self.checksum);
        match self.depth {
            Depth::One => builder.slots(2),
            Depth::Default => builder,
        }
    }

    pub(crate) fn bytes_reader(&self, namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
        let builder: ReaderBuilder<Vec<u8>, _> = namespace.reader_builder(self.name);
        builder.codec::<Bytes>().open().expect("a reader")
    }

    pub(crate) fn plain_reader(&self, namespace: &Namespace) -> Reader<Plain, Pod> {
        let builder: ReaderBuilder<Plain, _> = namespace.reader_builder(self.name);
        builder.codec::<Pod>().open().expect("a reader")
    }
}
