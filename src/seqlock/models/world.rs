//! A channel without an operating system: control page, segments and a directory of names, all of
//! them words of the memory that a model checks. And its users: the author, which publishes, and
//! the follower, which reads.

use std::sync::{Arc, Mutex};

use super::{Fault, LoomMemory, Operation, Seen, Weakened};
use crate::layout::{Geometry, Publication, Side, control, pins, segment};
use crate::memory::{CountingMemory, Memory, MemoryMut, Slot, SlotHeader};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Attempt, Generations, Pins, Published, Reader, Ring, Segment, WakeMode, Writer};

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

/// A step of an author.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
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
}

/// The writer of a channel, until it is dropped or its memory stops storing.
pub(super) struct Author<M> {
    world: World<M>,
    writer: Writer<M, M>,
    number: usize,
}

impl<M: Handle + CountingMemory> Author<M> {
    /// Resumes after the last publication of the former author; everything that it stored happened
    /// before.
    pub(super) fn take_over(world: &World<M>) -> Author<M> {
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

    pub(super) fn run(&mut self, steps: &[Step]) {
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

impl<M: Handle + MemoryMut> World<M> {
    /// Unlinks the segment's name, if it has one.
    fn remove(&self, side: Side, generation: u64) {
        let has_a_name = (1..=self.generations).contains(&generation);
        if has_a_name && self.directory.newest(name(side, generation)) != 0 {
            self.directory.store(name(side, generation), 0);
        }
    }
}

/// Begins a loan in a fresh segment, and fills it.
fn fill<M: MemoryMut>(ring: &Ring<M>, publication: Publication, filling: &[u8]) {
    ring.begin(ring.slot(publication), publication);
    ring.slot(publication).write_at(0, filling);
}

/// A reader of a channel.
pub(super) struct Follower<M> {
    world: World<M>,
    reader: Reader<M, M>,
    latest: u64,
    seen: Seen,
}

impl<M: Handle> Follower<M> {
    /// A reader that has the first segments, as each has when it attaches.
    pub(super) fn attached(world: &World<M>, seen: &Seen) -> Follower<M> {
        let first = |side: Side| Segment { generation: segment::FIRST, ring: world.ring(side.index()) };
        let reader = Reader::new(world.control.clone(), Side::BOTH.map(first));
        Follower { world: world.clone(), reader, latest: 0, seen: Arc::clone(seen) }
    }

    /// Its reader.
    pub(super) fn reader(&self) -> &Reader<M, M> {
        &self.reader
    }

    /// Makes this many attempts.
    pub(super) fn follow(&mut self, attempts: usize) -> Result<(), Fault> {
        (0..attempts).try_for_each(|_| self.attempt().map(drop))
    }

    /// Makes this many attempts, and after each that succeeds, one at the publication before: as a
    /// history does, in whichever segments are mapped.
    pub(super) fn follow_back(&mut self, attempts: usize) -> Result<(), Fault> {
        for _ in 0..attempts {
            let mut bytes = Vec::new();
            if let Some(latest) = self.attempt()?
                && let Some(former) = Publication::new(latest - 1)
                && let Attempt::Whole { publication, header } =
                    self.reader.attempt_at(former, &mut &mut bytes)
            {
                self.world.verify(publication, header, &bytes)?;
            }
        }
        Ok(())
    }

    /// Makes this many attempts, once the channel is ready.
    pub(super) fn attach(&mut self, attempts: usize) -> Result<(), Fault> {
        if ready::check(&self.world.header) != Readiness::Ready {
            return Ok(());
        }
        let header = [control::INSTANCE, control::MAX_STATE_LEN].map(|word| self.world.control.load(word));
        if header != [INSTANCE, MAX_STATE_LEN] {
            return Err(Fault::HalfWritten);
        }
        self.follow(attempts)
    }

    /// Views a publication that was pinned before all stores of this model, if it finds it.
    pub(super) fn view_pinned(&mut self, publication: u64) -> Result<(), Fault> {
        let publication = Publication::new(publication).expect("a pin");
        if self.world.last() < publication.get() {
            return Ok(());
        }
        let ring = self.world.ring(publication.side().index());
        let Some((slot, header)) = ring.holds(publication) else { return Ok(()) };
        self.world.verify_view(publication, &slot, header)?;
        self.see(publication);
        Ok(())
    }

    /// A publication that is pinned must be found.
    pub(super) fn copy_pinned(&mut self, publication: u64) -> Result<(), Fault> {
        let mut bytes = Vec::new();
        let pinned = Publication::new(publication).expect("a pin");
        match self.reader.attempt_at(pinned, &mut &mut bytes) {
            Attempt::Whole { publication, header } => self.world.verify(publication, header, &bytes),
            _ => Err(Fault::Lost { publication }),
        }
    }

    fn see(&self, publication: Publication) {
        self.seen.lock().expect("no panic while it is held").insert(publication.get());
    }

    /// After all stores, a read must return the last publication: immediately, or after mapping its
    /// segment.
    pub(super) fn conclude(mut self) -> Result<(), Fault> {
        let last = self.world.last();
        let first = self.attempt()?;
        let found = if first.is_some() { first } else { self.attempt()? };
        if found.unwrap_or(0) == last { Ok(()) } else { Err(Fault::NotTheLast { last, found }) }
    }

    /// One attempt: the number of the publication that was copied whole. Maps a segment if the
    /// attempt requires it.
    fn attempt(&mut self) -> Result<Option<u64>, Fault> {
        let mut bytes = Vec::new();
        // As a channel's reader does.
        let fast = match self.world.has_pins() {
            true => Err(None),
            false => self.reader.try_fast(&mut &mut bytes),
        };
        let attempt = match fast {
            Ok((publication, header)) => Attempt::Whole { publication, header },
            Err(Some(side)) if self.reader.is_current(side) => Attempt::Torn,
            Err(_) => self.reader.attempt(&mut &mut bytes),
        };
        // The number of a torn attempt is not known; the next attempt compares its own number with
        // the latest known one.
        let publication = match attempt {
            Attempt::Empty => return self.advance(0).map(|()| None),
            Attempt::Remap { side, generation } => {
                if let Some(ring) = self.world.open(side, generation) {
                    self.reader.install(side, generation, ring);
                }
                return Ok(None);
            }
            Attempt::Torn => return Ok(None),
            // Verified, although no writer wrote it.
            Attempt::Refused { publication, .. } | Attempt::Implausible { publication, .. } => {
                return Err(Fault::Torn { publication: publication.get() });
            }
            Attempt::Whole { publication, header } => {
                self.advance(publication.get())?;
                self.world.verify(publication, header, &bytes)?;
                publication
            }
        };
        self.see(publication);
        Ok(Some(publication.get()))
    }

    /// The number of the latest publication never goes backwards.
    fn advance(&mut self, to: u64) -> Result<(), Fault> {
        let from = std::mem::replace(&mut self.latest, to);
        if from <= to { Ok(()) } else { Err(Fault::Backwards { from, to }) }
    }
}

impl<M: Handle + CountingMemory> Follower<M> {
    /// Announces itself, and then, this many times, pins the latest publication, views it, and
    /// unpins it.
    pub(super) fn view(&mut self, pin: usize, times: usize) -> Result<(), Fault> {
        self.world.pins(3).expect("a channel with pins").announce();
        (0..times).try_for_each(|_| self.view_once(pin))
    }

    fn view_once(&mut self, pin: usize) -> Result<(), Fault> {
        let [pinning, unpinning] = [1, 2].map(|handle| self.world.pins(handle).expect("a channel with pins"));
        match self.reader.pin(&pinning, pin) {
            Ok((publication, slot, header)) => {
                self.world.verify_view(publication, &slot, header)?;
                unpinning.unpin(pin);
                self.see(publication);
                self.advance(publication.get())
            }
            Err(Attempt::Remap { side, generation }) => {
                if let Some(ring) = self.world.open(side, generation) {
                    self.reader.install(side, generation, ring);
                }
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }
}

/// What a reader does before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Last {
    Take,
    Pin,
    View,
    Unpin,
    GiveBack,
}

impl Last {
    pub(super) const ALL: [Last; 5] = [Last::Take, Last::Pin, Last::View, Last::Unpin, Last::GiveBack];
}

impl<M: Handle + CountingMemory> Follower<M> {
    /// Announces itself, takes a pin, also of a holder that does not exist, views the latest
    /// publication, and gives the pin back; all that up to `last`. Returns whether there was a pin.
    pub(super) fn view_as(
        &mut self,
        holder: u64,
        exists: impl Fn(u64) -> bool,
        last: Last,
    ) -> Result<bool, Fault> {
        let pins = |handle| self.world.pins(handle).expect("a channel with pins");
        let [pinning, unpinning, viewing, taking] = [1, 2, 3, 4].map(pins);
        viewing.announce();
        let Some(pin) = taking.take(holder).or_else(|| taking.take_over(holder, exists)) else {
            return Ok(false);
        };
        if last >= Last::Pin
            && let Ok((publication, slot, header)) = self.reader.pin(&pinning, pin)
        {
            if last >= Last::View {
                self.world.verify_view(publication, &slot, header)?;
                self.see(publication);
            }
            if last >= Last::Unpin {
                unpinning.unpin(pin);
            }
        }
        if last == Last::GiveBack {
            taking.give_back(pin);
        }
        Ok(true)
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
