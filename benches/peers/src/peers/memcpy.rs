//! The yardstick: a copy between private memory and a shared mapping. It protects no reader.

use std::fs::{self, OpenOptions};
use std::hint::black_box;

use bytemuck::{bytes_of, bytes_of_mut};
use memmap2::MmapMut;

use super::ours;
use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Tried};
use crate::place::Place;

/// Always into and out of the same place, which stays in the cache if it can.
pub(crate) struct Memcpy;

/// Into and out of as many places in turn as a channel of such states has slots, which a publish
/// can't avoid.
pub(crate) struct MemcpyAround;

/// Copies into the mapping.
pub(crate) struct Into<const WORDS: usize> {
    mapping: MmapMut,
    next: usize,
}

/// Copies out of it.
pub(crate) struct OutOf<const WORDS: usize> {
    mapping: MmapMut,
    next: usize,
    state: Box<[u64; WORDS]>,
}

/// Copies from one place of private memory to another. It can be read only.
pub(crate) struct Private<const WORDS: usize> {
    from: Box<[u64; WORDS]>,
    into: Box<[u64; WORDS]>,
}

impl<const WORDS: usize> Private<WORDS> {
    /// Copies that state.
    pub(crate) fn new(from: Box<[u64; WORDS]>) -> Private<WORDS> {
        Private { from, into: boxed(|_| 0) }
    }
}

impl<const WORDS: usize> Read<WORDS> for Private<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        // The compiler must not assume that the source is unchanged: it would load a small state
        // once, for all reads.
        *self.into = **black_box(&self.from);
        look(&self.into);
        Tried::default()
    }
}

impl<const WORDS: usize> Peer<WORDS> for Memcpy {
    const NAME: &'static str = "memcpy";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Into<WORDS>;
    type Reader = OutOf<WORDS>;

    fn open(place: &Place) -> Ends<Into<WORDS>, OutOf<WORDS>> {
        ends(place, 1)
    }
}

impl<const WORDS: usize> Peer<WORDS> for MemcpyAround {
    const NAME: &'static str = "memcpy around";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = false;
    type Publisher = Into<WORDS>;
    type Reader = OutOf<WORDS>;

    fn open(place: &Place) -> Ends<Into<WORDS>, OutOf<WORDS>> {
        ends(place, ours::depth::<WORDS>(place))
    }
}

fn ends<const WORDS: usize>(place: &Place, slots: usize) -> Ends<Into<WORDS>, OutOf<WORDS>> {
    let [into, out_of] = map_twice(place, slots * WORDS * 8);
    let publisher = Into { mapping: into, next: 0 };
    Ends { publisher, reader: OutOf { mapping: out_of, next: 0, state: boxed(|_| 0) } }
}

/// Two mappings of the same new `len` bytes of shared memory, whose name is unlinked.
#[allow(unsafe_code, reason = "memmap2 can't know that no other process changes the file")]
fn map_twice(place: &Place, len: usize) -> [MmapMut; 2] {
    let path = place.file();
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.expect("/dev/shm can be written to");
    file.set_len(len as u64).expect("there is room in shared memory");
    fs::remove_file(&path).expect("it was made just now");
    [(); 2].map(|()| {
        // SAFETY: a mapping requires that its file is neither changed nor shortened behind the
        // borrows of its bytes. The name of this file is unlinked, and only this process has its
        // descriptor, which is closed below. Its bytes are borrowed only during one copy, and only
        // by the one thread that uses both ends in turns.
        let mapping = unsafe { MmapMut::map_mut(&file) };
        let mut mapping = mapping.expect("there is room to map it");
        mapping.fill(0);
        mapping
    })
}

/// The beginning of the next place of `len` bytes.
#[inline]
fn after<const WORDS: usize>(place: usize, len: usize) -> usize {
    if place + WORDS * 8 == len { 0 } else { place + WORDS * 8 }
}

impl<const WORDS: usize> Publish<WORDS> for Into<WORDS> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        self.mapping[self.next..][..WORDS * 8].copy_from_slice(bytes_of(state));
        self.next = after::<WORDS>(self.next, self.mapping.len());
    }
}

impl<const WORDS: usize> Read<WORDS> for OutOf<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        bytes_of_mut(&mut *self.state).copy_from_slice(&self.mapping[self.next..][..WORDS * 8]);
        self.next = after::<WORDS>(self.next, self.mapping.len());
        look(&self.state);
        Tried::default()
    }
}
