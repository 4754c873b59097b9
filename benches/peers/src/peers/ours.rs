//! The library itself, in four settings.

use tearless::{Pod, Reader, Writer, WriterBuilder, error::SnapshotError, options::TimestampSource};

use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Shared, Tried};
use crate::place::Place;

/// Without timestamps, and read by value.
pub(crate) struct UndatedByValue;

/// All options at their defaults: publications have timestamps of the precise clock.
pub(crate) struct Dated;

/// Without timestamps, as all peers are.
pub(crate) struct Undated;

/// Without timestamps, and with one slot in each segment: a classic double buffer.
pub(crate) struct Shallow;

/// The writer of every setting.
pub(crate) struct Publisher<const WORDS: usize> {
    writer: Writer<[u64; WORDS], Pod>,
}

/// The reader of every setting, and the buffer that it copies to.
pub(crate) struct Snapshots<const WORDS: usize> {
    reader: Reader<[u64; WORDS], Pod>,
    state: Box<[u64; WORDS]>,
}

/// A reader that returns states by value.
pub(crate) struct Values<const WORDS: usize> {
    reader: Reader<[u64; WORDS], Pod>,
}

type Builder<const WORDS: usize> = WriterBuilder<[u64; WORDS], Pod>;

fn builder<const WORDS: usize>(place: &Place) -> Builder<WORDS> {
    place.namespace().writer_builder(place.name()).codec()
}

fn publisher<const WORDS: usize>(builder: Builder<WORDS>) -> Publisher<WORDS> {
    let mut writer = builder.open().expect("there is room in shared memory");
    // Touches every slot: otherwise the first round of publications would be slower.
    let state = boxed::<WORDS>(|_| 0);
    for _ in 0..writer.slots() {
        writer.publish(&state).expect("the state fits");
    }
    Publisher { writer }
}

fn reader<const WORDS: usize>(place: &Place) -> Snapshots<WORDS> {
    let builder = place.namespace().reader_builder(place.name()).codec();
    let reader = builder.open().expect("the channel is there");
    Snapshots { reader, state: boxed(|_| 0) }
}

/// The number of slots that a publisher of such states writes in turn.
pub(crate) fn depth<const WORDS: usize>(place: &Place) -> usize {
    let builder = builder::<WORDS>(&place.at("depth")).timestamps(TimestampSource::None);
    let writer = builder.open().expect("there is room in shared memory");
    usize::try_from(writer.slots()).expect("it is small")
}

impl<const WORDS: usize> Publish<WORDS> for Publisher<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.writer.publish(state).expect("the state fits");
    }
}

/// A function of its own, as behind `?`: to handle the error beside the read would make each read
/// store its whole result in memory.
#[cold]
fn gave_up(error: SnapshotError) -> Tried {
    match error {
        SnapshotError::Contended { attempts, .. } => Tried { retries: attempts, gave_up: true },
        error => panic!("{error}"),
    }
}

impl<const WORDS: usize> Read<WORDS> for Snapshots<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        match self.reader.snapshot_into(&mut self.state) {
            Ok(info) => {
                look(&self.state);
                Tried { retries: info.retries(), gave_up: false }
            }
            Err(error) => gave_up(error),
        }
    }
}

impl<const WORDS: usize> Read<WORDS> for Values<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        let snapshot = self.reader.snapshot().expect("a state was published, and no writer publishes now");
        look(&snapshot);
        Tried { retries: snapshot.retries(), gave_up: false }
    }
}

impl<const WORDS: usize> Peer<WORDS> for Dated {
    const NAME: &'static str = "tearless";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Publisher<WORDS>;
    type Reader = Snapshots<WORDS>;

    fn open(place: &Place) -> Ends<Publisher<WORDS>, Snapshots<WORDS>> {
        Ends { publisher: Self::publisher(place), reader: reader(place) }
    }
}

impl<const WORDS: usize> Shared<WORDS> for Dated {
    fn publisher(place: &Place) -> Publisher<WORDS> {
        publisher(builder(place))
    }

    fn reader(place: &Place) -> Snapshots<WORDS> {
        reader(place)
    }
}

impl<const WORDS: usize> Peer<WORDS> for Undated {
    const NAME: &'static str = "tearless undated";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Publisher<WORDS>;
    type Reader = Snapshots<WORDS>;

    fn open(place: &Place) -> Ends<Publisher<WORDS>, Snapshots<WORDS>> {
        Ends { publisher: Self::publisher(place), reader: reader(place) }
    }
}

impl<const WORDS: usize> Shared<WORDS> for Undated {
    fn publisher(place: &Place) -> Publisher<WORDS> {
        publisher(builder(place).timestamps(TimestampSource::None))
    }

    fn reader(place: &Place) -> Snapshots<WORDS> {
        reader(place)
    }
}

impl<const WORDS: usize> Peer<WORDS> for UndatedByValue {
    const NAME: &'static str = "tearless undated, by value";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Publisher<WORDS>;
    type Reader = Values<WORDS>;

    fn open(place: &Place) -> Ends<Publisher<WORDS>, Values<WORDS>> {
        let publisher = <Undated as Shared<WORDS>>::publisher(place);
        Ends { publisher, reader: Values { reader: reader(place).reader } }
    }
}

impl<const WORDS: usize> Peer<WORDS> for Shallow {
    const NAME: &'static str = "tearless depth 1";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Publisher<WORDS>;
    type Reader = Snapshots<WORDS>;

    fn open(place: &Place) -> Ends<Publisher<WORDS>, Snapshots<WORDS>> {
        Ends { publisher: Self::publisher(place), reader: reader(place) }
    }
}

impl<const WORDS: usize> Shared<WORDS> for Shallow {
    fn publisher(place: &Place) -> Publisher<WORDS> {
        publisher(builder(place).timestamps(TimestampSource::None).slots(2))
    }

    fn reader(place: &Place) -> Snapshots<WORDS> {
        reader(place)
    }
}
