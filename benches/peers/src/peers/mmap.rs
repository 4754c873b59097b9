//! mmap-sync: two files that are written in turn, with a count of readers in a third.

use std::time::Duration;

use bytemuck::bytes_of;
use mmap_sync::locks::LockDisabled;
use mmap_sync::synchronizer::Synchronizer;
use wyhash::WyHash;

use crate::common::boxed;
use crate::peer::{Ends, Peer, Publish, Read, Shared, Tried};
use crate::place::Place;

/// How long the writer waits for readers: longer than any of them takes.
const GRACE: Duration = Duration::from_secs(60);

/// The nanoseconds that the writer sleeps if it meets a reader. The default is a second.
const SLEEP: u64 = 1_000;

/// `write`, which serializes, checks, hashes; and `read` without a check, followed by a copy.
pub(crate) struct MmapSync;

/// `write_raw`, which only hashes; and `read` without a check, in place.
pub(crate) struct MmapSyncGuard;

/// The three files, with the default hash, lock and scratch space.
type Files = Synchronizer<WyHash, LockDisabled, 1024, SLEEP>;

/// Writes states as values or, if `RAW`, as bytes.
pub(crate) struct Write<const RAW: bool> {
    files: Files,
}

/// Shows a copy of the state.
pub(crate) struct Copied<const WORDS: usize> {
    files: Files,
    state: Box<[u64; WORDS]>,
}

/// Shows the state in place.
pub(crate) struct Guarded {
    files: Files,
}

fn files(place: &Place) -> Files {
    Files::with_params(place.file().as_os_str())
}

/// Shows the state in its file.
#[allow(unsafe_code, reason = "the peer has no other way to read")]
#[inline]
fn read<const WORDS: usize>(files: &mut Files, look: impl FnOnce(&[u64; WORDS])) {
    // SAFETY: the caller has to drop the result before the writer's grace period ends, and the file
    // has to hold an archived value of the requested type. The result lives for one copy or one
    // comparison, which takes far less than the minute of `GRACE`, unless a signal stops this
    // process, which no benchmark expects. The files belong to the run. Only `Write` writes to
    // them, always a `[u64; WORDS]` of the same place, and every pattern of bits is a valid value
    // of that type. The peer may return bytes that are being overwritten: see `torn`.
    let result = unsafe { files.read::<[u64; WORDS]>(false) };
    look(&result.expect("a state was written"));
}

impl<const WORDS: usize> Peer<WORDS> for MmapSync {
    const NAME: &'static str = "mmap-sync";
    const COPIES: bool = true;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Write<false>;
    type Reader = Copied<WORDS>;

    fn open(place: &Place) -> Ends<Write<false>, Copied<WORDS>> {
        let publisher = <Self as Shared<WORDS>>::publisher(place);
        Ends { publisher, reader: Self::reader(place) }
    }
}

impl<const WORDS: usize> Shared<WORDS> for MmapSync {
    fn publisher(place: &Place) -> Write<false> {
        Write { files: files(place) }
    }

    fn reader(place: &Place) -> Copied<WORDS> {
        Copied { files: files(place), state: boxed(|_| 0) }
    }
}

impl<const WORDS: usize> Peer<WORDS> for MmapSyncGuard {
    const NAME: &'static str = "mmap-sync raw, guard";
    const COPIES: bool = false;
    const ACROSS_PROCESSES: bool = true;
    type Publisher = Write<true>;
    type Reader = Guarded;

    fn open(place: &Place) -> Ends<Write<true>, Guarded> {
        Ends { publisher: Write { files: files(place) }, reader: Guarded { files: files(place) } }
    }
}

impl<const WORDS: usize, const RAW: bool> Publish<WORDS> for Write<RAW> {
    #[inline]
    fn publish(&mut self, state: &[u64; WORDS]) {
        let result = match RAW {
            true => self.files.write_raw::<[u64; WORDS]>(bytes_of(state), GRACE),
            false => self.files.write(state, GRACE),
        };
        result.expect("there is room in shared memory");
    }
}

impl<const WORDS: usize> Read<WORDS> for Copied<WORDS> {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        read(&mut self.files, |state: &[u64; WORDS]| *self.state = *state);
        look(&self.state);
        Tried::default()
    }
}

impl<const WORDS: usize> Read<WORDS> for Guarded {
    #[inline]
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried {
        read(&mut self.files, look);
        Tried::default()
    }
}
