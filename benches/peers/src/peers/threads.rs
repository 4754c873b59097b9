//! Threads of one process: seqlock, triple_buffer, and the standard library's `RwLock`.

use std::sync::{Arc, PoisonError, RwLock};

use seqlock::SeqLock;
use triple_buffer::{Input, Output, triple_buffer};

use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Tried};
use crate::place::Place;

/// seqlock: `read` by value, `lock_write`.
pub(crate) struct SeqLocked;

/// triple_buffer: `read` and a copy, `input_buffer_mut` and `publish`. It has one reader.
pub(crate) struct Tripled;

/// triple_buffer: `read` in place.
pub(crate) struct TripledGuard;

/// `std::sync::RwLock`: a copy under the read lock.
pub(crate) struct Locked;

/// A lock of either kind.
pub(crate) struct Lock<L> {
    lock: Arc<L>,
}

/// A lock, and the buffer to copy to.
pub(crate) struct CopyUnder<L, const WORDS: usize> {
    lock: Arc<L>,
    state: Box<[u64; WORDS]>,
}

/// One end of a triple buffer.
pub(crate) struct Front<const WORDS: usize> {
    input: Input<Box<[u64; WORDS]>>,
}

/// The reading end, and the buffer to copy to.
pub(crate) struct Back<const WORDS: usize> {
    output: Output<Box<[u64; WORDS]>>,
    state: Box<[u64; WORDS]>,
}

/// The reading end, without a copy.
pub(crate) struct BackInPlace<const WORDS: usize> {
    output: Output<Box<[u64; WORDS]>>,
}

impl<const WORDS: usize> Peer<WORDS> for SeqLocked {
    const NAME: &'static str = "seqlock";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Lock<SeqLock<[u64; WORDS]>>;
    type Reader = Lock<SeqLock<[u64; WORDS]>>;

    fn open(_place: &Place) -> Ends<Self::Publisher, Self::Reader> {
        let lock = Arc::new(SeqLock::new([0; WORDS]));
        Ends { publisher: Lock { lock: Arc::clone(&lock) }, reader: Lock { lock } }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Lock<SeqLock<[u64; WORDS]>> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        *self.lock.lock_write() = *state;
    }
}

impl<const WORDS: usize> Read<WORDS> for Lock<SeqLock<[u64; WORDS]>> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        look(&self.lock.read());
        Tried::default()
    }
}

impl<const WORDS: usize> Peer<WORDS> for Locked {
    const NAME: &'static str = "RwLock";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Lock<RwLock<[u64; WORDS]>>;
    type Reader = CopyUnder<RwLock<[u64; WORDS]>, WORDS>;

    fn open(_place: &Place) -> Ends<Self::Publisher, Self::Reader> {
        let lock = Arc::new(RwLock::new([0; WORDS]));
        let reader = CopyUnder { lock: Arc::clone(&lock), state: boxed(|_| 0) };
        Ends { publisher: Lock { lock }, reader }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Lock<RwLock<[u64; WORDS]>> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        *self.lock.write().unwrap_or_else(PoisonError::into_inner) = *state;
    }
}

impl<const WORDS: usize> Read<WORDS> for CopyUnder<RwLock<[u64; WORDS]>, WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        *self.state = *self.lock.read().unwrap_or_else(PoisonError::into_inner);
        look(&self.state);
        Tried::default()
    }
}

impl<const WORDS: usize> Peer<WORDS> for Tripled {
    const NAME: &'static str = "triple_buffer";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Front<WORDS>;
    type Reader = Back<WORDS>;

    fn open(_place: &Place) -> Ends<Front<WORDS>, Back<WORDS>> {
        let (input, output) = triple_buffer(&boxed(|_| 0));
        Ends { publisher: Front { input }, reader: Back { output, state: boxed(|_| 0) } }
    }
}

impl<const WORDS: usize> Peer<WORDS> for TripledGuard {
    const NAME: &'static str = "triple_buffer, guard";
    const COPIES: bool = false;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Front<WORDS>;
    type Reader = BackInPlace<WORDS>;

    fn open(_place: &Place) -> Ends<Front<WORDS>, BackInPlace<WORDS>> {
        let (input, output) = triple_buffer(&boxed(|_| 0));
        Ends { publisher: Front { input }, reader: BackInPlace { output } }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Front<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        **self.input.input_buffer_mut() = *state;
        self.input.publish();
    }
}

impl<const WORDS: usize> Read<WORDS> for Back<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        *self.state = **self.output.read();
        look(&self.state);
        Tried::default()
    }
}

impl<const WORDS: usize> Read<WORDS> for BackInPlace<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        look(self.output.read());
        Tried::default()
    }
}
