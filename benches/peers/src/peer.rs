//! The operations that every compared library offers.

use crate::place::Place;

/// A way to keep the latest state where others can read it. States are arrays of 64-bit words.
pub(crate) trait Peer<const WORDS: usize> {
    /// Its name in tables and on the command line.
    const NAME: &'static str;
    /// Whether a reader gets a private copy. Otherwise it reads the state in place, and keeps it
    /// from being overwritten.
    const COPIES: bool;
    /// Whether readers may be other processes.
    const ACROSS_PROCESSES: bool;
    /// The end that publishes.
    type Publisher: Publish<WORDS> + 'static;
    /// The end that reads.
    type Reader: Read<WORDS> + 'static;

    /// Both ends, for one process. The first state is published by the caller.
    fn open(place: &Place) -> Ends<Self::Publisher, Self::Reader>;
}

/// A peer whose ends may be opened by different processes.
pub(crate) trait Shared<const WORDS: usize>: Peer<WORDS> {
    /// The end that publishes; opened first.
    fn publisher(place: &Place) -> Self::Publisher;

    /// The end that reads; opened after the first state was published.
    fn reader(place: &Place) -> Self::Reader;
}

/// The end that publishes.
pub(crate) trait Publish<const WORDS: usize> {
    /// Makes `state` the latest one.
    fn publish(&mut self, state: &[u64; WORDS]);
}

/// The end that reads.
pub(crate) trait Read<const WORDS: usize> {
    /// Passes the latest state to `look`, or nothing if the read gave up.
    ///
    /// `look` gets what the peer itself returns: no peer pays for a copy that its users need not
    /// make.
    fn read(&mut self, look: impl FnOnce(&[u64; WORDS])) -> Tried;
}

/// The two ends of a peer.
pub(crate) struct Ends<P, R> {
    pub(crate) publisher: P,
    pub(crate) reader: R,
}

/// The outcome of a read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    /// Attempts before the last one; 0 if the peer doesn't report them.
    pub(crate) retries: u32,
    /// Whether the last one failed, too.
    pub(crate) gave_up: bool,
}
