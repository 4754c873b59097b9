//! A channel without an operating system: control page, segments and a directory of names, all of them words of the
//! memory that a model checks. And its users: the author, who publishes, and the follower, who reads.

use std::sync::{Arc, Mutex};

use super::{Fault, Operation, Seen, Weakened};
use crate::layout::{Geometry, Publication, Side, control, segment};
use crate::memory::SlotHeader;
use crate::memory::{Memory, MemoryMut};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Attempt, Generations, Published, Reader, Ring, Segment, Writer};

/// A handle onto shared words.
pub(super) trait Handle: Memory + Clone {
    /// The same words, through a handle whose `operation` orders nothing.
    fn weakened(&self, operation: Option<Operation>) -> Self;

    /// What a word holds now: no older than anything that was loaded before. Orders nothing.
    fn newest(&self, word: usize) -> u64;
}

/// What a channel of a model consists of.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) weakened: Weakened,
    /// Slots of each segment. The first two are generation 1 of A and B; growth takes the others.
    pub(super) depths: &'static [usize],
    /// How many generations of each side can have a name.
    pub(super) generations: u64,
    /// Words of a payload.
    pub(super) words: usize,
}

/// A segment, whatever its name.
#[derive(Clone)]
struct NamedSegment<M> {
    memory: M,
    geometry: Geometry,
}

/// All that the processes of a channel share.
#[derive(Clone)]
pub(super) struct World<M> {
    control: M,
    /// The control page once more, for its ready word.
    header: M,
    /// A word for each name: 0 while nothing has it, else the index of a segment + 1.
    directory: M,
    segments: Vec<NamedSegment<M>>,
    generations: u64,
    words: usize,
    /// The number that each author began with. Known to the checks only.
    beginnings: Arc<Mutex<Vec<u64>>>,
}

/// What an author does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Publish,
    /// Publish into a fresh segment: the one of this index.
    Grow(usize),
}

/// What an author publishes under one number.
struct Edition {
    payload: Vec<u8>,
    header: SlotHeader,
}

const INSTANCE: u64 = 0x1157;
const LIMIT: u64 = 0x711;

impl<M: Handle> World<M> {
    /// `make` gives the memory of an object of which just these words, in ascending order, are used.
    pub(super) fn new(plan: Plan, mut make: impl FnMut(&[usize]) -> M) -> World<M> {
        let described = [control::READY, control::INSTANCE, control::LIMIT];
        let hot = [control::PUBLISHED, control::GENERATION, control::GENERATION + 1];
        let page = make(&[described, hot].concat());
        let names: Vec<usize> = (0..name(Side::A, plan.generations + 1)).collect();
        let directory = make(&names);
        let segment = |&depth: &usize| {
            let geometry = Geometry::exact(depth, plan.words);
            let words: Vec<usize> = (segment::SLOTS..geometry.object_words()).collect();
            let memory = make(&words);
            NamedSegment { memory: memory.weakened(plan.weakened.of_segments()), geometry }
        };
        World {
            control: page.weakened(plan.weakened.of_control()),
            header: page.weakened(plan.weakened.of_header()),
            directory,
            segments: plan.depths.iter().map(segment).collect(),
            generations: plan.generations,
            words: plan.words,
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
            generations: self.generations,
            words: self.words,
            beginnings: Arc::clone(&self.beginnings),
        }
    }

    /// The number of the latest publication, 0 before the first.
    pub(super) fn last(&self) -> u64 {
        Published::of_channel(&self.control).latest().map_or(0, Publication::get)
    }

    /// The segment that has this name, if any has it.
    ///
    /// A directory is the operating system's, and orders at least so much: who has loaded a generation finds what was
    /// under its name by then.
    fn open(&self, side: Side, generation: u64) -> Option<Ring<M>> {
        let index = self.directory.newest(name(side, generation)).checked_sub(1)?;
        Some(self.ring(usize::try_from(index).ok()?))
    }

    fn ring(&self, index: usize) -> Ring<M> {
        let NamedSegment { memory, geometry } = &self.segments[index];
        Ring::new(memory.clone(), *geometry)
    }

    /// Whether a whole reading is exactly what was published by whoever announced this number.
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

impl<M: Handle + MemoryMut> World<M> {
    /// Makes the channel, of which nothing is published yet.
    pub(super) fn found(&self) {
        for (index, side) in (1..).zip(Side::BOTH) {
            self.directory.store(name(side, 1), index);
            Generations(&self.control).replace(side, 1);
        }
    }

    /// Writes what never changes, and declares it ready.
    pub(super) fn describe(&self) {
        self.control.store(control::INSTANCE, INSTANCE);
        self.control.store(control::LIMIT, LIMIT);
        ready::declare(&self.header);
    }
}

/// One who writes, until it is dropped or its memory stops storing.
pub(super) struct Author<M> {
    world: World<M>,
    writer: Writer<M, M>,
    number: usize,
}

impl<M: Handle + MemoryMut> Author<M> {
    /// Goes on where the former author died; everything that it stored happened before.
    pub(super) fn take_over(world: &World<M>) -> Author<M> {
        let last = world.last();
        let sides = Side::BOTH.map(|side| {
            let generation = Generations(&world.control).current(side);
            for leftover in [generation - 1, generation + 1] {
                world.remove(side, leftover);
            }
            Segment { generation, ring: world.open(side, generation).expect("what is in force has its name") }
        });
        let mut beginnings = world.beginnings.lock().expect("no panic while it is held");
        beginnings.push(last + 1);
        let writer = Writer::resume(world.control.clone(), sides, last);
        Author { world: world.clone(), writer, number: beginnings.len() }
    }

    pub(super) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            let publication = self.writer.next().expect("models are small");
            let Edition { payload, header } = edition(publication.get(), self.number, self.world.words);
            let SlotHeader { time, checksum, .. } = header;
            match *step {
                Step::Publish => self.writer.publish(publication, &payload, time, checksum),
                Step::Grow(index) => {
                    let growth = self.fresh(publication.side(), index);
                    let replaced = self.writer.publish_grown(publication, growth, &payload, time, checksum);
                    self.world.remove(publication.side(), replaced.generation);
                }
            }
        }
    }

    /// Creates a segment under the name of the next generation.
    fn fresh(&self, side: Side, index: usize) -> Segment<M> {
        let generation = self.writer.generation(side) + 1;
        self.world.directory.store(name(side, generation), index as u64 + 1);
        Segment { generation, ring: self.world.ring(index) }
    }
}

impl<M: Handle + MemoryMut> World<M> {
    /// Takes the segment's name away, if any segment has it.
    fn remove(&self, side: Side, generation: u64) {
        let has_a_name = (1..=self.generations).contains(&generation);
        if has_a_name && self.directory.newest(name(side, generation)) != 0 {
            self.directory.store(name(side, generation), 0);
        }
    }
}

/// One who reads.
pub(super) struct Follower<M> {
    world: World<M>,
    reader: Reader<M, M>,
    latest: u64,
    seen: Seen,
}

impl<M: Handle> Follower<M> {
    /// It has nothing mapped.
    pub(super) fn new(world: &World<M>, seen: &Seen) -> Follower<M> {
        let reader = Reader::new(world.control.clone());
        Follower { world: world.clone(), reader, latest: 0, seen: Arc::clone(seen) }
    }

    /// It has the first generation mapped.
    pub(super) fn attached(world: &World<M>, seen: &Seen) -> Follower<M> {
        let mut follower = Follower::new(world, seen);
        for side in Side::BOTH {
            follower.reader.install(side, 1, world.ring(side.index()));
        }
        follower
    }

    /// What it reads with.
    pub(super) fn reader(&self) -> &Reader<M, M> {
        &self.reader
    }

    /// Makes so many attempts.
    pub(super) fn follow(&mut self, attempts: usize) -> Result<(), Fault> {
        (0..attempts).try_for_each(|_| self.attempt().map(drop))
    }

    /// Makes so many attempts, once the channel is ready.
    pub(super) fn attach(&mut self, attempts: usize) -> Result<(), Fault> {
        if ready::check(&self.world.header) != Readiness::Ready {
            return Ok(());
        }
        let [instance, limit] = [control::INSTANCE, control::LIMIT].map(|word| self.world.control.load(word));
        if (instance, limit) != (INSTANCE, LIMIT) {
            return Err(Fault::HalfDescribed);
        }
        self.follow(attempts)
    }

    /// When everything has happened, a read gives the last publication: at once, or after mapping its segment.
    pub(super) fn conclude(mut self) -> Result<(), Fault> {
        let last = self.world.last();
        let first = self.attempt()?;
        let found = if first.is_some() { first } else { self.attempt()? };
        if found.unwrap_or(0) == last { Ok(()) } else { Err(Fault::NotTheLast { last, found }) }
    }

    /// One attempt: the number of the publication that was copied whole. Maps a segment if the attempt asks for it.
    fn attempt(&mut self) -> Result<Option<u64>, Fault> {
        let mut bytes = Vec::new();
        // Of a torn attempt the number is not known; the next attempt compares its own with the latest one known.
        let publication = match self.reader.attempt(&mut &mut bytes) {
            Attempt::Empty => return self.advance(0).map(|()| None),
            Attempt::Remap { side, generation } => {
                if let Some(ring) = self.world.open(side, generation) {
                    self.reader.install(side, generation, ring);
                }
                return Ok(None);
            }
            Attempt::Torn => return Ok(None),
            // Verified, and no writer wrote it.
            Attempt::Refused { publication, .. } | Attempt::Implausible { publication, .. } => {
                return Err(Fault::Torn { publication: publication.get() });
            }
            Attempt::Whole { publication, header } => {
                self.advance(publication.get())?;
                self.world.verify(publication, header, &bytes)?;
                publication
            }
        };
        self.seen.lock().expect("no panic while it is held").insert(publication.get());
        Ok(Some(publication.get()))
    }

    /// The number of the latest publication never goes backwards.
    fn advance(&mut self, to: u64) -> Result<(), Fault> {
        let from = std::mem::replace(&mut self.latest, to);
        if from <= to { Ok(()) } else { Err(Fault::Backwards { from, to }) }
    }
}

/// The word of a name.
fn name(side: Side, generation: u64) -> usize {
    usize::try_from(generation - 1).expect("models are small") * 2 + side.index()
}

/// What the author publishes under this number: every word is different for each number and author.
fn edition(publication: u64, author: usize, words: usize) -> Edition {
    let small = |number: u64| u8::try_from(number).expect("models are small");
    let (mark, from) = (small(publication) << 5 | u8::from(author == 2) << 4, author as u64 * 1000);
    let len = 8 * words - small((publication + 3 * author as u64) % 8) as usize;
    let payload = (mark..).take(len).collect();
    let header = SlotHeader { len: len as u64, time: from + publication, checksum: from + 100 + publication };
    Edition { payload, header }
}
