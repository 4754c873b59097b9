//! A channel beside a model that is too simple to be wrong: a number and some bytes. For random
//! sequences of operations.

use super::*;
use crate::channel::{PublishError, remove};
use crate::layout::{Geometry, Publication, segment::slot};
use crate::memory::MemoryMut;
use crate::object::Access;
use crate::seqlock::Generations;

/// Maximum payload bytes of a state.
pub(crate) const MAX_STATE_LEN: usize = 20_000;

/// An operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Publish {
        len: usize,
    },
    /// Fills a loan in two parts, and publishes or drops it.
    Loan {
        len: usize,
        publishes: bool,
    },
    Shrink,
    Attach,
    Snapshot {
        reader: usize,
    },
    Close {
        linger: bool,
    },
    Crash(Crash),
    Open,
    Remove,
}

/// Where the writer is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crash {
    Between,
    /// The odd stamp is stored, and some of the payload.
    MidWrite,
    /// All is written but the announcement.
    BeforeAnnouncing,
    /// A larger segment is made and written, under a name that is not current yet.
    GrownNotCurrent,
    /// The same, current but not announced.
    GrownNotAnnounced,
    /// A loan is filled, for which the segment may have to grow.
    InLoan,
}

impl Crash {
    pub(crate) const ALL: [Crash; 6] = [
        Crash::Between,
        Crash::MidWrite,
        Crash::BeforeAnnouncing,
        Crash::GrownNotCurrent,
        Crash::GrownNotAnnounced,
        Crash::InLoan,
    ];
}

/// What every process must see of the channel.
#[derive(Debug, Default)]
struct Model {
    exists: bool,
    /// Counts channels: a reader of a former one must find it closed.
    instance: u32,
    number: u64,
    bytes: Vec<u8>,
}

struct System {
    heap: Heap,
    depth: Option<usize>,
    checksum: bool,
    writer: Option<ChannelWriter>,
    readers: Vec<(u32, ChannelReader)>,
    model: Model,
}

fn content(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|index| (number.wrapping_mul(31).wrapping_add(index) % 251).to_le_bytes()[0])
        .collect()
}

/// Applies `operations` to a channel and to the model.
///
/// # Panics
///
/// If they differ.
pub(crate) fn compare(depth: Option<usize>, checksum: bool, operations: &[Operation]) {
    let heap = Heap::new();
    let mut system =
        System { heap, depth, checksum, writer: None, readers: Vec::new(), model: Model::default() };
    system.open();
    for operation in operations {
        system.apply(operation);
        system.check_objects();
    }
}

impl System {
    fn options(&self) -> WriterOptions {
        let mut options = options();
        (options.capacity, options.max_state_len) = (16, MAX_STATE_LEN);
        (options.depth, options.checksum) = (self.depth, self.checksum);
        options
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Publish { len } => self.publish(len),
            Operation::Loan { len, publishes } => self.loan(len, publishes),
            Operation::Shrink => self.writer.iter_mut().for_each(ChannelWriter::shrink_to_fit),
            Operation::Attach => self.attach(),
            Operation::Snapshot { reader } => self.snapshot(reader),
            Operation::Close { linger } => self.close(linger),
            Operation::Crash(crash) => self.crash(crash),
            Operation::Open => self.open(),
            Operation::Remove => self.remove(),
        }
    }

    fn publish(&mut self, len: usize) {
        let Some(writer) = &mut self.writer else { return };
        let bytes = content(self.model.number + 1, len);
        match writer.publish(&bytes) {
            Ok(number) => {
                assert!(len <= MAX_STATE_LEN);
                assert_eq!(number, self.model.number + 1);
                (self.model.number, self.model.bytes) = (number, bytes);
            }
            Err(error) => {
                assert!(len > MAX_STATE_LEN && matches!(error, PublishError::TooLarge { .. }), "{error}");
            }
        }
    }

    fn loan(&mut self, len: usize, publishes: bool) {
        let Some(writer) = &mut self.writer else { return };
        let bytes = content(self.model.number + u64::from(publishes), len);
        match writer.loan(len) {
            Ok(mut loan) => {
                assert!(len <= MAX_STATE_LEN);
                let (first, second) = bytes.split_at(len / 3);
                loan.write_at(first.len(), second);
                loan.write_at(0, first);
                if publishes {
                    let number = loan.publish().unwrap();
                    assert_eq!(number, self.model.number + 1);
                    (self.model.number, self.model.bytes) = (number, bytes);
                }
            }
            Err(error) => {
                assert!(len > MAX_STATE_LEN && matches!(error, PublishError::TooLarge { .. }), "{error}");
            }
        }
    }

    fn attach(&mut self) {
        match attach(&self.heap) {
            Ok(reader) => {
                assert!(self.model.exists);
                self.readers.push((self.model.instance, reader));
                if self.readers.len() > 4 {
                    self.readers.remove(0);
                }
            }
            Err(error) => {
                assert!(!self.model.exists && matches!(error, AttachError::NotFound { .. }), "{error}");
            }
        }
    }

    fn snapshot(&mut self, reader: usize) {
        let model = &self.model;
        let Some((instance, reader)) = self.readers.get_mut(reader) else { return };
        let current = model.exists && *instance == model.instance;
        match snapshot(reader) {
            Ok(found) => assert_eq!(found, (model.number, model.bytes.clone())),
            Err(SnapshotError::Empty { .. }) => assert!(current && model.number == 0),
            Err(SnapshotError::Closed { .. }) => assert!(!current),
            Err(error) => panic!("{error}"),
        }
        assert!(current || reader.is_closed());
    }

    fn close(&mut self, linger: bool) {
        let Some(mut writer) = self.writer.take() else { return };
        writer.set_linger(linger);
        drop(writer);
        self.model.exists = linger;
    }

    fn crash(&mut self, crash: Crash) {
        let Some(mut writer) = self.writer.take() else { return };
        if matches!(crash, Crash::InLoan) {
            let len = usize::try_from(self.model.number * 997).unwrap() % MAX_STATE_LEN;
            let mut loan = writer.loan(len).unwrap();
            loan.write_at(0, &vec![0xdd; len]);
            std::mem::forget(loan);
        }
        let inner = &writer.writer;
        let publication = Publication::new(inner.last() + 1).unwrap();
        let side = publication.side();
        let ring = inner.ring(side);
        let lost = vec![0xdd; ring.geometry().capacity()];
        match crash {
            Crash::Between | Crash::InLoan => {}
            Crash::MidWrite => {
                let slot = ring.geometry().slot(publication.turn());
                ring.memory().store(slot + slot::STAMP, publication.stamp_writing());
                ring.memory().store(slot + slot::LENGTH, 3);
                ring.memory().store(slot + slot::PAYLOAD, u64::MAX);
            }
            Crash::BeforeAnnouncing => ring.write(publication, &lost, 1, 1),
            Crash::GrownNotCurrent | Crash::GrownNotAnnounced => {
                let generation = inner.generation(side) + 1;
                // As large as a writer makes it.
                let capacity = (2 * lost.len()).min(MAX_STATE_LEN).max(lost.len());
                let geometry = Geometry::fit(capacity, self.depth).unwrap();
                let fresh = writer.segments.create(side, generation, geometry, Access::OWNER).unwrap();
                fresh.ring.write(publication, &lost, 1, 1);
                if matches!(crash, Crash::GrownNotAnnounced) {
                    Generations(inner.control()).replace(side, generation);
                }
            }
        }
        kill(writer);
    }

    fn open(&mut self) {
        let opened = open(&self.heap, &self.options());
        if self.writer.is_some() {
            return assert!(matches!(opened, Err(CreateError::AlreadyOwned { .. })));
        }
        self.writer = Some(opened.unwrap());
        if !self.model.exists {
            let instance = self.model.instance + 1;
            self.model = Model { exists: true, instance, ..Model::default() };
        }
    }

    fn remove(&mut self) {
        let removed = remove(&self.heap.shared(), &name());
        if self.writer.is_some() {
            return assert!(removed.is_err());
        }
        assert_eq!(removed.unwrap().is_some(), self.model.exists);
        self.model.exists = false;
    }

    /// A channel's object, at most one grown segment a side, and at most one leftover of an
    /// interrupted growth; none without a channel.
    fn check_objects(&self) {
        let max = match (self.model.exists, self.writer.is_some()) {
            (false, _) => 0,
            (true, true) => 3,
            (true, false) => 4,
        };
        assert!(self.heap.names().len() <= max, "{:?}", self.heap.names());
    }
}
