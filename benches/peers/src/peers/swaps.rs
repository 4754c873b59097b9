//! Threads of one process that swap pointers: arc-swap and left-right.

use std::sync::Arc;

use arc_swap::ArcSwap;
use left_right::{Absorb, ReadHandle, WriteHandle};

use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Tried};
use crate::place::Place;

/// arc-swap: `load` and a copy; `store` of a new `Arc`, which is allocated.
pub(crate) struct ArcSwapped;

/// arc-swap: `load` in place.
pub(crate) struct ArcSwappedGuard;

/// left-right: `enter` and a copy; `append` of a boxed state, which is allocated, and `publish`.
pub(crate) struct LeftRight;

/// The pointer.
pub(crate) struct Swap<const WORDS: usize> {
    pointer: Arc<ArcSwap<[u64; WORDS]>>,
}

/// The pointer, and the buffer to copy to.
pub(crate) struct Load<const WORDS: usize> {
    pointer: Arc<ArcSwap<[u64; WORDS]>>,
    state: Box<[u64; WORDS]>,
}

/// The writing side of both copies.
pub(crate) struct Append<const WORDS: usize> {
    handle: WriteHandle<State<WORDS>, Replace<WORDS>>,
}

/// The reading side, and the buffer to copy to.
pub(crate) struct Enter<const WORDS: usize> {
    handle: ReadHandle<State<WORDS>>,
    state: Box<[u64; WORDS]>,
}

/// The data that left-right keeps two of.
#[derive(Clone)]
pub(crate) struct State<const WORDS: usize> {
    words: Box<[u64; WORDS]>,
}

/// The only operation on it: replaces all words.
pub(crate) struct Replace<const WORDS: usize> {
    by: Box<[u64; WORDS]>,
}

impl<const WORDS: usize> Absorb<Replace<WORDS>> for State<WORDS> {
    fn absorb_first(&mut self, operation: &mut Replace<WORDS>, _other: &Self) {
        *self.words = *operation.by;
    }

    fn absorb_second(&mut self, operation: Replace<WORDS>, _other: &Self) {
        *self.words = *operation.by;
    }

    fn sync_with(&mut self, first: &Self) {
        *self.words = *first.words;
    }
}

impl<const WORDS: usize> Peer<WORDS> for LeftRight {
    const NAME: &'static str = "left-right";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Append<WORDS>;
    type Reader = Enter<WORDS>;

    fn open(_place: &Place) -> Ends<Append<WORDS>, Enter<WORDS>> {
        let (writer, reader) = left_right::new_from_empty(State { words: boxed(|_| 0) });
        Ends { publisher: Append { handle: writer }, reader: Enter { handle: reader, state: boxed(|_| 0) } }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Append<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.handle.append(Replace { by: Box::new(*state) }).publish();
    }
}

impl<const WORDS: usize> Read<WORDS> for Enter<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        let guard = self.handle.enter().expect("the writer is there");
        *self.state = *guard.words;
        drop(guard);
        look(&self.state);
        Tried::default()
    }
}

fn pointer<const WORDS: usize>() -> Arc<ArcSwap<[u64; WORDS]>> {
    Arc::new(ArcSwap::new(Arc::new([0; WORDS])))
}

impl<const WORDS: usize> Peer<WORDS> for ArcSwapped {
    const NAME: &'static str = "arc-swap";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Swap<WORDS>;
    type Reader = Load<WORDS>;

    fn open(_place: &Place) -> Ends<Swap<WORDS>, Load<WORDS>> {
        let pointer = pointer();
        let publisher = Swap { pointer: Arc::clone(&pointer) };
        Ends { publisher, reader: Load { pointer, state: boxed(|_| 0) } }
    }
}

impl<const WORDS: usize> Peer<WORDS> for ArcSwappedGuard {
    const NAME: &'static str = "arc-swap, guard";
    const COPIES: bool = false;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Swap<WORDS>;
    type Reader = Swap<WORDS>;

    fn open(_place: &Place) -> Ends<Swap<WORDS>, Swap<WORDS>> {
        let pointer = pointer();
        Ends { publisher: Swap { pointer: Arc::clone(&pointer) }, reader: Swap { pointer } }
    }
}

impl<const WORDS: usize> Publish<WORDS> for Swap<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.pointer.store(Arc::new(*state));
    }
}

impl<const WORDS: usize> Read<WORDS> for Load<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        *self.state = **self.pointer.load();
        look(&self.state);
        Tried::default()
    }
}

impl<const WORDS: usize> Read<WORDS> for Swap<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        look(&self.pointer.load());
        Tried::default()
    }
}
