//! The library itself, with loans and views.

use tearless::view::{TrustedWriters, View};
use tearless::{Bytes, Reader, Writer, WriterBuilder};

use crate::place::Place;

/// A writer whose states are made in their slots.
pub(crate) struct Loans {
    writer: Writer<[u8], Bytes>,
    len: usize,
}

/// A reader that looks at states in their slots.
pub(crate) struct Views {
    reader: Reader<Vec<u8>, Bytes>,
}

/// A writer of states of `len` bytes.
pub(crate) fn writer_builder(place: &Place, len: usize) -> WriterBuilder<[u8], Bytes> {
    place.namespace().writer_builder(place.name()).codec().capacity(len)
}

impl Loans {
    /// Opens the channel.
    pub(crate) fn open(builder: WriterBuilder<[u8], Bytes>, len: usize) -> Loans {
        Loans { writer: builder.open().expect("there is room in shared memory"), len }
    }

    /// Makes a state of `byte` with `number` in front, and publishes it.
    #[allow(unsafe_code, reason = "a reference to shared memory needs a promise")]
    pub(crate) fn publish_filled(&mut self, byte: u8, number: u64) {
        let mut loan = self.writer.loan(self.len).expect("the state fits");
        // SAFETY: as long as the reference lives, no other process may store to the channel's
        // memory. Its name belongs to this run, and the run's processes use it by the library.
        // Those that this process starts run another program, and have no use of the reference.
        let state = unsafe { loan.lend().into_mut() };
        state.fill(byte);
        state[..8].copy_from_slice(&number.to_ne_bytes());
        loan.publish().expect("the writer was not forked");
    }

    /// Puts `number` at both ends of a state that was filled before, and publishes it.
    #[inline]
    pub(crate) fn publish_ends(&mut self, number: u64) {
        let mut loan = self.writer.loan(self.len).expect("the state fits");
        for at in [0, self.len - 8] {
            loan.write_at(at, &number.to_ne_bytes());
        }
        loan.publish().expect("the writer was not forked");
    }

    /// How many slots it publishes into in turn.
    pub(crate) fn slots(&self) -> u64 {
        self.writer.slots()
    }
}

impl Views {
    /// Attaches to a channel.
    #[allow(unsafe_code, reason = "a view in place needs a promise")]
    pub(crate) fn open(place: &Place) -> Views {
        let builder = place.namespace().reader_builder(place.name()).codec::<Bytes>();
        // SAFETY: as long as a view exists, only this library may store to the channel's objects or
        // shorten them: their names belong to this run, and the run's processes use them by the
        // library. This program closes no descriptors but its own. Processes that it starts run
        // another program, and have no use of the view.
        let builder = builder.views_in_place(unsafe { TrustedWriters::new() });
        Views { reader: builder.open().expect("the channel is there") }
    }

    /// The reader.
    pub(crate) fn reader(&mut self) -> &mut Reader<Vec<u8>, Bytes> {
        &mut self.reader
    }

    /// The latest state.
    #[inline]
    pub(crate) fn view(&mut self) -> View<[u8]> {
        let view = self.reader.view().expect("a state was published");
        assert!(view.is_in_place(), "a view was a copy");
        view
    }
}
