//! The writer of a model's channel.

use super::{Edition, Handle, World, edition, name};
use crate::layout::{Publication, Side, segment};
use crate::memory::{CountingMemory, MemoryMut, SlotHeader};
use crate::seqlock::{Generations, Ring, Segment, Writer};

/// A step of an author.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Publish,
    /// Publish into a fresh segment, that of this index.
    Grow(usize),
    /// Fill a loan, and publish it.
    Loan,
    /// The same into a fresh segment.
    GrowLoan(usize),
    /// Fill a loan with what is never published, and drop it.
    Drop,
    /// The same in a fresh segment.
    GrowDrop(usize),
}

/// The writer of a channel, until it is dropped or its memory stops storing.
pub(crate) struct Author<M> {
    world: World<M>,
    writer: Writer<M, M>,
    number: usize,
}

impl<M: Handle + CountingMemory> Author<M> {
    /// Resumes after the last publication of the former author; everything that it stored happened
    /// before.
    pub(crate) fn take_over(world: &World<M>) -> Author<M> {
        let last = world.last();
        let sides = Side::BOTH.map(|side| {
            let generation = Generations(&world.control).current(side);
            for leftover in [generation - 1, generation + 1] {
                world.remove(side, leftover);
            }
            Segment {
                generation,
                ring: world.open(side, generation).expect("a current segment has its name"),
            }
        });
        // Not held during a step: a reader of the same model locks it, too.
        let number = {
            let mut beginnings = world.beginnings.lock().expect("no panic while it is held");
            beginnings.push(last + 1);
            beginnings.len()
        };
        let next = Publication::new(last + 1).expect("models are small");
        let ring = sides[next.side().index()].ring.clone();
        let is_kept = !world.voids && ring.holds(next).is_some();
        let mut writer = Writer::resume(world.control.clone(), sides, last, world.pins(0));
        writer.await_viewers(world.viewers);
        if is_kept {
            let slot = ring.geometry().slot(next.turn());
            ring.memory().store(slot + segment::slot::STAMP, next.stamp_whole());
        }
        Author { world: world.clone(), writer, number }
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            let publication = self.writer.next().expect("models are small");
            let side = publication.side();
            let Edition { payload, header } = edition(publication.get(), self.number, self.world.words);
            let SlotHeader { time, checksum, .. } = header;
            // In whole words: loom does not see all races of a store behind a load of its word.
            let mut filling = [&payload[..], &[0; 8]].concat();
            filling.truncate(8 * self.world.words);
            match *step {
                Step::Publish if !self.world.has_pins() => {
                    assert!(self.writer.try_publish(publication, &payload, time, checksum));
                }
                Step::Grow(index) => {
                    let segment = self.fresh(side, index);
                    let replaced = self.writer.publish_grown(publication, segment, &payload, time, checksum);
                    self.world.remove(side, replaced.generation);
                }
                Step::Publish | Step::Loan => {
                    self.begin(publication, &filling);
                    self.writer.publish_loan(publication, header);
                }
                Step::GrowLoan(index) => {
                    let segment = self.fresh(side, index);
                    fill(&segment.ring, publication, &filling);
                    let replaced = self.writer.publish_grown_loan(publication, segment, header);
                    self.world.remove(side, replaced.generation);
                }
                Step::Drop => {
                    filling.iter_mut().for_each(|byte| *byte = !*byte);
                    self.begin(publication, &filling);
                    self.writer.give_up(publication);
                }
                Step::GrowDrop(index) => {
                    let segment = self.fresh(side, index);
                    filling.iter_mut().for_each(|byte| *byte = !*byte);
                    fill(&segment.ring, publication, &filling);
                    self.world.remove(side, segment.generation);
                }
            }
        }
    }

    /// Begins a loan, and fills it.
    fn begin(&mut self, publication: Publication, filling: &[u8]) {
        assert!(self.writer.begin(publication), "there is one slot more than pins");
        self.writer.slot(publication).write_at(0, filling);
    }

    /// Creates a segment under the name of the next generation.
    fn fresh(&self, side: Side, index: usize) -> Segment<M> {
        let generation = self.writer.generation(side) + 1;
        self.world.directory.store(name(side, generation), index as u64 + 1);
        Segment { generation, ring: self.world.ring(index) }
    }
}

/// Begins a loan in a fresh segment, and fills it.
fn fill<M: MemoryMut>(ring: &Ring<M>, publication: Publication, filling: &[u8]) {
    ring.begin(ring.slot(publication), publication);
    ring.slot(publication).write_at(0, filling);
}
