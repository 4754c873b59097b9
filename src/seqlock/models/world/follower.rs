//! A reader of a model's channel.

use std::sync::Arc;

use super::super::{Fault, Seen};
use super::{Handle, INSTANCE, MAX_STATE_LEN, World};
use crate::layout::{Publication, Side, control, segment};
use crate::memory::CountingMemory;
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Attempt, Reader, Segment};

/// What a reader does before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Last {
    Take,
    Pin,
    View,
    Unpin,
    GiveBack,
}

impl Last {
    pub(crate) const ALL: [Last; 5] = [Last::Take, Last::Pin, Last::View, Last::Unpin, Last::GiveBack];
}

/// A reader of a channel.
pub(crate) struct Follower<M> {
    world: World<M>,
    reader: Reader<M, M>,
    latest: u64,
    seen: Seen,
}

impl<M: Handle> Follower<M> {
    /// A reader that has the first segments, as each has when it attaches.
    pub(crate) fn attached(world: &World<M>, seen: &Seen) -> Follower<M> {
        let first = |side: Side| Segment { generation: segment::FIRST, ring: world.ring(side.index()) };
        let reader = Reader::new(world.control.clone(), Side::BOTH.map(first));
        Follower { world: world.clone(), reader, latest: 0, seen: Arc::clone(seen) }
    }

    /// Its reader.
    pub(crate) fn reader(&self) -> &Reader<M, M> {
        &self.reader
    }

    /// Makes this many attempts.
    pub(crate) fn follow(&mut self, attempts: usize) -> Result<(), Fault> {
        (0..attempts).try_for_each(|_| self.attempt().map(drop))
    }

    /// Makes this many attempts, and after each that succeeds, one at the publication before: as a
    /// history does, in whichever segments are mapped.
    pub(crate) fn follow_back(&mut self, attempts: usize) -> Result<(), Fault> {
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
    pub(crate) fn attach(&mut self, attempts: usize) -> Result<(), Fault> {
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
    pub(crate) fn view_pinned(&mut self, publication: u64) -> Result<(), Fault> {
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
    pub(crate) fn copy_pinned(&mut self, publication: u64) -> Result<(), Fault> {
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
    pub(crate) fn conclude(mut self) -> Result<(), Fault> {
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
    pub(crate) fn view(&mut self, pin: usize, times: usize) -> Result<(), Fault> {
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

impl<M: Handle + CountingMemory> Follower<M> {
    /// Announces itself, takes a pin, also of a holder that does not exist, views the latest
    /// publication, and gives the pin back; all that up to `last`. Returns whether there was a pin.
    pub(crate) fn view_as(
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
