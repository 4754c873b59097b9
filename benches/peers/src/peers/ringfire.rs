//! ringfire: a blackboard with one key.

use ringfire::{BlackboardConsumer, BlackboardProducer};

use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Tried};
use crate::place::Place;

/// The key.
const KEY: usize = 0;

/// `read_copy` and `write`. Its blackboard has one slot for a key.
pub(crate) struct Ringfire;

/// The end that publishes.
pub(crate) struct Producer<const WORDS: usize>(BlackboardProducer<[u64; WORDS]>);

/// The end that reads, and the buffer that it copies to.
pub(crate) struct Consumer<const WORDS: usize> {
    consumer: BlackboardConsumer<[u64; WORDS]>,
    state: Box<[u64; WORDS]>,
}

impl<const WORDS: usize> Peer<WORDS> for Ringfire {
    const NAME: &'static str = "ringfire";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Producer<WORDS>;
    type Reader = Consumer<WORDS>;

    fn open(place: &Place) -> Ends<Producer<WORDS>, Consumer<WORDS>> {
        let producer = BlackboardProducer::create(place.file(), 1).expect("there is room in shared memory");
        let consumer = BlackboardConsumer::attach(place.file()).expect("the blackboard is there");
        Ends { publisher: Producer(producer), reader: Consumer { consumer, state: boxed(|_| 0) } }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Producer<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.0.write(KEY, state).expect("the key is there");
    }
}

impl<const WORDS: usize> Read<WORDS> for Consumer<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        let read = self.consumer.read_copy(KEY, &mut self.state);
        assert!(read.expect("no writer is stalled"), "a state was published");
        look(&self.state);
        Tried::default()
    }
}
