//! A channel without an operating system: control page, segments and a directory of names, all of
//! them words of the memory that a model checks. And its users: the author, which publishes, and
//! the follower, which reads.

mod author;
mod follower;

pub(super) use author::{Author, Step};
pub(super) use follower::{Follower, Last};

use std::sync::{Arc, Mutex};

use super::{Fault, LoomMemory, Operation, Weakened};
use crate::layout::{Geometry, Publication, Side, control, pins};
use crate::memory::{CountingMemory, Memory, MemoryMut, Slot, SlotHeader};
use crate::seqlock::{Generations, Pins, Published, Ring, WakeMode, ready};

/// A handle onto shared words.
pub(crate) trait Handle: Memory + Clone {
    /// The same words, through a handle whose `operation` orders nothing.
    fn weakened(&self, operation: Option<Operation>) -> Self;

    /// The newest value of a word: no older than anything that was loaded before. Orders nothing.
    fn newest(&self, word: usize) -> u64;

    /// The same words, through a handle that loads them as a view does.
    fn in_place(&self) -> Self;
}

/// The parts of a model's channel.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) weakened: Weakened,
    /// Slots of each segment. The first two are generation 1 of A and B; growth uses the others.
    pub(super) depths: &'static [usize],
    /// Number of generations of each side that can have a name.
    pub(super) generations: u64,
    /// Words of a payload.
    pub(super) words: usize,
    /// Pins, and spare slots of each segment.
    pub(super) pins: usize,
    /// How the writer notices the first reader that pins; with `Never` it looks at the pins from
    /// the start.
    pub(super) viewers: WakeMode,
}

/// A segment, whatever its name.
#[derive(Clone)]
struct NamedSegment<M> {
    memory: M,
    geometry: Geometry,
}

/// Everything that the processes of a channel share.
#[derive(Clone)]
pub(super) struct World<M> {
    control: M,
    /// The control page once more, for its ready word.
    header: M,
    /// A word for each name: 0 while no segment has it, otherwise the index of a segment + 1.
    directory: M,
    segments: Vec<NamedSegment<M>>,
    /// The pins: for the writer, for readers that pin, that unpin, that announce themselves, and
    /// that take pins or give them back.
    pins: [M; 5],
    pin_count: usize,
    viewers: WakeMode,
    generations: u64,
    words: usize,
    /// Whether an author takes back what the former one finished and did not announce.
    voids: bool,
    /// The first publication of each author. Known only to the checks.
    beginnings: Arc<Mutex<Vec<u64>>>,
}

/// The payload and header that an author publishes under one number.
struct Edition {
    payload: Vec<u8>,
    header: SlotHeader,
}

const INSTANCE: u64 = 0x1157;
const MAX_STATE_LEN: u64 = 0x711;

impl World<LoomMemory> {
    /// The same channel on other words, on which nothing was stored yet ([`LoomMemory::afresh`]).
    pub(super) fn afresh(&self) -> World<LoomMemory> {
        let world = self.map(LoomMemory::afresh);
        let (header, pins) = (self.header.onto(&world.control), self.pins[0].afresh());
        World { header, pins: self.pins.each_ref().map(|handle| handle.onto(&pins)), ..world }
    }

    /// For a writer that starts while readers are running. It looks at the pins as any writer does.
    pub(super) fn of_successor(&self) -> World<LoomMemory> {
        World { pins: self.pins.clone(), ..self.map(LoomMemory::of_successor) }
    }
}

impl<M: Handle> World<M> {
    /// `make` returns the memory of an object; only these words of it, in ascending order, are
    /// used.
    pub(super) fn new(plan: Plan, mut make: impl FnMut(&[usize]) -> M) -> World<M> {
        let header = [control::READY, control::INSTANCE, control::MAX_STATE_LEN];
        let hot = [control::PUBLISHED, control::GENERATION, control::GENERATION + 1];
        let page = make(&[header, hot].concat());
        let names: Vec<usize> = (0..name(Side::A, plan.generations + 1)).collect();
        let directory = make(&names);
        let pins = [pins::PINS, pins::HOLDERS].into_iter().flat_map(|first| first..first + plan.pins);
        let pins = make(&pins.chain([pins::VIEWERS]).collect::<Vec<_>>());
        let segment = |&depth: &usize| {
            let geometry = Geometry::exact(depth, plan.words).with_spares(plan.pins).expect("few");
            let table = geometry.entry(0);
            let words = match plan.pins {
                0 => (0..geometry.words()).collect(),
                // Not all of the table's last line, and its end.
                _ => [(0..table + depth).collect(), vec![geometry.words() - 1]].concat(),
            };
            let memory = make(&words);
            NamedSegment { memory: memory.weakened(plan.weakened.of_segments()), geometry }
        };
        World {
            pins: plan.weakened.of_pins().map(|weakened| pins.weakened(weakened)),
            pin_count: plan.pins,
            viewers: plan.viewers,
            control: page.weakened(plan.weakened.of_control()),
            header: page.weakened(plan.weakened.of_header()),
            directory,
            segments: plan.depths.iter().map(segment).collect(),
            generations: plan.generations,
            words: plan.words,
            voids: plan.weakened != Weakened::Void,
            beginnings: Arc::default(),
        }
    }

    /// The same channel through other handles.
    pub(super) fn map<N>(&self, handle: impl Fn(&M) -> N) -> World<N> {
        let segment = |segment: &NamedSegment<M>| NamedSegment {
            memory: handle(&segment.memory),
            geometry: segment.geometry,
        };
        World {
            control: handle(&self.control),
            header: handle(&self.header),
            directory: handle(&self.directory),
            segments: self.segments.iter().map(segment).collect(),
            pins: self.pins.each_ref().map(&handle),
            pin_count: self.pin_count,
            viewers: self.viewers,
            generations: self.generations,
            words: self.words,
            voids: self.voids,
            beginnings: Arc::clone(&self.beginnings),
        }
    }

    /// The number of the latest publication, 0 before the first.
    pub(super) fn last(&self) -> u64 {
        Published::of_channel(&self.control).latest().map_or(0, Publication::get)
    }

    /// The segment that has this name, if there is one.
    ///
    /// A directory belongs to the operating system, which orders at least this much: a process that
    /// has loaded a generation finds the object that had its name by then.
    fn open(&self, side: Side, generation: u64) -> Option<Ring<M>> {
        let index = self.directory.newest(name(side, generation)).checked_sub(1)?;
        Some(self.ring(usize::try_from(index).ok()?))
    }

    fn ring(&self, index: usize) -> Ring<M> {
        let NamedSegment { memory, geometry } = &self.segments[index];
        Ring::new(memory.clone(), *geometry)
    }

    fn has_pins(&self) -> bool {
        self.pin_count > 0
    }

    /// Whether a slot shows, in place and at two moments, exactly what the author of this number
    /// published.
    fn verify_view(
        &self,
        publication: Publication,
        slot: &Slot<'_, M>,
        header: SlotHeader,
    ) -> Result<(), Fault> {
        let memory = slot.memory().in_place();
        let mut bytes = vec![0; usize::try_from(header.len).expect("checked by the reader")];
        (0..2).try_for_each(|_| {
            slot.through(&memory).read(0, &mut bytes);
            self.verify(publication, header, &bytes)
        })
    }

    /// Whether a whole copy is exactly what the author of this number published.
    fn verify(&self, publication: Publication, header: SlotHeader, bytes: &[u8]) -> Result<(), Fault> {
        let publication = publication.get();
        let beginnings = self.beginnings.lock().expect("no panic while it is held");
        let author = beginnings.iter().filter(|first| **first <= publication).count();
        let edition = edition(publication, author, self.words);
        if header == edition.header && bytes == edition.payload {
            Ok(())
        } else {
            Err(Fault::Torn { publication })
        }
    }
}

impl<M: Handle + CountingMemory> World<M> {
    /// Pins publications, in this order, before they are published.
    pub(super) fn pin(&self, publications: &[u64]) {
        for (pin, number) in publications.iter().enumerate() {
            self.pins[1].store(pins::PINS + pin, *number);
            self.pins[1].increment(pins::VIEWERS);
        }
    }

    /// The pins, through the handle of the writer (0), of v1 to v3 (1), of v4 (2), of u1 and u2
    /// (3), or of h1 to h4 (4).
    fn pins(&self, handle: usize) -> Option<Pins<M>> {
        self.has_pins().then(|| Pins::new(self.pins[handle].clone(), self.pin_count))
    }
}

impl<M: Handle + MemoryMut> World<M> {
    /// Makes the channel, on which nothing is published yet.
    pub(super) fn found(&self) {
        for (index, side) in (1..).zip(Side::BOTH) {
            self.directory.store(name(side, 1), index);
            Generations(&self.control).replace(side, 1);
        }
    }

    /// Writes the immutable words, and declares them ready.
    pub(super) fn write_header(&self) {
        self.control.store(control::INSTANCE, INSTANCE);
        self.control.store(control::MAX_STATE_LEN, MAX_STATE_LEN);
        ready::declare(&self.header);
    }

    /// Unlinks the segment's name, if it has one.
    fn remove(&self, side: Side, generation: u64) {
        let has_a_name = (1..=self.generations).contains(&generation);
        if has_a_name && self.directory.newest(name(side, generation)) != 0 {
            self.directory.store(name(side, generation), 0);
        }
    }
}

/// The word of a name.
fn name(side: Side, generation: u64) -> usize {
    usize::try_from(generation - 1).expect("models are small") * 2 + side.index()
}

/// The payload and header that the author publishes under this number: every word differs for each
/// number and author.
fn edition(publication: u64, author: usize, words: usize) -> Edition {
    let small = |number: u64| u8::try_from(number).expect("models are small");
    let (mark, from) = (small(publication) << 5 | u8::from(author == 2) << 4, author as u64 * 1000);
    let len = 8 * words - small((publication + 3 * author as u64) % 8) as usize;
    let payload = (mark..).take(len).collect();
    let header = SlotHeader { len: len as u64, time: from + publication, checksum: from + 100 + publication };
    Edition { payload, header }
}
