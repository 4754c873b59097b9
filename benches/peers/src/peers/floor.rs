//! The floor: the protocol with nothing around it. Two rings, the words that both ends look at, and
//! one private flag for all that is unusual. It checks nothing that a user could do wrong, grows
//! never, and works in one thread only, which is why it needs no `unsafe`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use rustix::time::{ClockId, clock_gettime};

use super::ours;
use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Tried};
use crate::place::Place;

/// Slots of each ring at most.
const SLOTS: usize = 16;

/// The protocol with nothing around it.
pub(crate) struct Floor;

/// The same with a timestamp for each publication.
pub(crate) struct FloorDated;

/// The words that change with each publication, on lines of their own.
#[repr(align(128))]
#[derive(Default)]
struct Hot {
    published: AtomicU64,
    /// Changes with all that a reader must look at twice.
    epoch: AtomicU64,
    waiters: AtomicU64,
}

#[repr(C, align(64))]
struct Slot<const WORDS: usize> {
    stamp: AtomicU64,
    len: AtomicU64,
    time: AtomicU64,
    checksum: AtomicU64,
    state: Cell<[u64; WORDS]>,
}

struct Channel<const WORDS: usize> {
    hot: Hot,
    rings: [Box<[Slot<WORDS>; SLOTS]>; 2],
    /// As many slots as a channel of such states has take turns.
    mask: u64,
    /// What a fork would change.
    process: AtomicU64,
}

/// The writer.
pub(crate) struct Writer<const DATED: bool, const WORDS: usize> {
    channel: Rc<Channel<WORDS>>,
    /// How much fits in a slot of each ring.
    fits: [usize; 2],
    last: u64,
}

/// The reader, and the buffer that it copies to.
pub(crate) struct Reader<const WORDS: usize> {
    channel: Rc<Channel<WORDS>>,
    epoch: u64,
    unusual: bool,
    snapshots: u64,
    state: Box<[u64; WORDS]>,
}

impl<const WORDS: usize> Channel<WORDS> {
    fn new(depth: usize) -> Channel<WORDS> {
        let slot = || Slot {
            stamp: AtomicU64::new(0),
            len: AtomicU64::new(0),
            time: AtomicU64::new(0),
            checksum: AtomicU64::new(0),
            state: Cell::new([0; WORDS]),
        };
        let rings = [(); 2].map(|()| {
            let slots: Box<[Slot<WORDS>]> = (0..SLOTS).map(|_| slot()).collect();
            slots.try_into().unwrap_or_else(|_| unreachable!("that many slots were collected"))
        });
        assert!(depth <= SLOTS, "the floor is for small states");
        Channel { hot: Hot::default(), rings, mask: depth as u64 - 1, process: AtomicU64::new(1) }
    }

    #[inline(always)]
    fn slot(&self, publication: u64) -> &Slot<WORDS> {
        &self.rings[(publication & 1) as usize][(publication >> 1 & self.mask) as usize % SLOTS]
    }
}

impl<const WORDS: usize> Peer<WORDS> for Floor {
    const NAME: &'static str = "the floor";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Writer<false, WORDS>;
    type Reader = Reader<WORDS>;

    fn open(place: &Place) -> Ends<Self::Publisher, Reader<WORDS>> {
        ends(place)
    }
}

impl<const WORDS: usize> Peer<WORDS> for FloorDated {
    const NAME: &'static str = "the floor, with timestamps";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Writer<true, WORDS>;
    type Reader = Reader<WORDS>;

    fn open(place: &Place) -> Ends<Self::Publisher, Reader<WORDS>> {
        ends(place)
    }
}

fn ends<const DATED: bool, const WORDS: usize>(place: &Place) -> Ends<Writer<DATED, WORDS>, Reader<WORDS>> {
    let channel = Rc::new(Channel::new(ours::depth::<WORDS>(place) / 2));
    let publisher = Writer { channel: Rc::clone(&channel), fits: [WORDS * 8; 2], last: 0 };
    let state = boxed(|_| 0);
    Ends { publisher, reader: Reader { channel, epoch: 0, unusual: false, snapshots: 0, state } }
}

impl<const DATED: bool, const WORDS: usize> Writer<DATED, WORDS> {
    #[inline(always)]
    fn try_publish(&mut self, state: &[u64; WORDS]) -> Option<u64> {
        let Channel { hot, process, .. } = &*self.channel;
        let publication = self.last + 1;
        if process.load(Relaxed) != 1 || WORDS * 8 > self.fits[(publication & 1) as usize] {
            return None;
        }
        let time = if DATED { now() } else { 0 };
        let slot = self.channel.slot(publication);
        slot.stamp.store(2 * publication - 1, Relaxed);
        // Release: the stores below must not be visible before the odd stamp.
        fence(Release);
        slot.len.store(WORDS as u64 * 8, Relaxed);
        slot.time.store(time, Relaxed);
        slot.checksum.store(0, Relaxed);
        slot.state.set(*state);
        slot.stamp.store(2 * publication, Relaxed);
        // Release: the slot must be visible to whoever sees its number.
        hot.published.store(publication, Release);
        self.last = publication;
        (hot.waiters.load(Relaxed) == 0).then_some(publication)
    }
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

impl<const WORDS: usize> Reader<WORDS> {
    #[inline(always)]
    fn try_read(&mut self) -> Option<(u64, u64)> {
        let hot = &self.channel.hot;
        let publication = hot.published.load(Relaxed);
        // Acquire: the loads below must not be satisfied before the number's.
        fence(Acquire);
        if hot.epoch.load(Relaxed) != self.epoch || self.unusual {
            return None;
        }
        let slot = self.channel.slot(publication);
        if slot.len.load(Relaxed) != WORDS as u64 * 8 {
            return None;
        }
        let time = slot.time.load(Relaxed);
        *self.state = slot.state.get();
        // Acquire: the loads of the copy must not be satisfied after the stamp's.
        fence(Acquire);
        if slot.stamp.load(Relaxed) != 2 * publication {
            return None;
        }
        self.snapshots += 1;
        Some((publication, time))
    }
}

impl<const DATED: bool, const WORDS: usize> Publish<WORDS> for Writer<DATED, WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.try_publish(state).expect("nothing unusual ever occurs");
    }
}

impl<const WORDS: usize> Read<WORDS> for Reader<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        self.try_read().expect("a state was published, and no writer publishes now");
        look(&self.state);
        Tried::default()
    }
}
