//! Where a state is written while it is checked, and what is noted of it.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use serde::ser::{self, Serializer};

use super::caps::Steps;
use super::refusal::{self, EncodeError, Name};
use super::shapes::{Record, Shape};

pub(super) type Written = Result<(), EncodeError>;

/// The serializer of a codec, and where it writes.
pub(super) trait Wire {
    type Error: ser::Error;
    type Serializer<'a>: Serializer<Ok = (), Error = Self::Error>
    where
        Self: 'a;

    /// Whether it writes MessagePack. The other codec is Postcard.
    const IS_MESSAGE_PACK: bool;

    /// Whether everything is recorded for a trial.
    const IS_TRIAL: bool = false;

    fn serializer(&mut self) -> Self::Serializer<'_>;

    fn payload(&mut self) -> &mut Vec<u8>;
}

/// What has been written.
pub(super) struct Output<W> {
    pub(super) wire: W,
    pub(super) elements: usize,
    /// Whether the value is in a buffer of serde's, where all types are one.
    pub(super) is_buffered: bool,
    /// Where the payload has the keys of maps that are still open and may be structs, and whether a
    /// key is the name of a field.
    pub(super) keys: Vec<(Range<usize>, bool)>,
    /// `None` while there is nothing to record.
    pub(super) record: Option<Box<Record>>,
}

impl<W: Wire> Output<W> {
    #[inline(always)]
    pub(super) fn new(wire: W) -> Output<W> {
        Output { wire, elements: 0, is_buffered: false, keys: Vec::new(), record: None }
    }

    /// Calls the codec's serializer.
    #[inline(always)]
    pub(super) fn write(&mut self, write: impl FnOnce(W::Serializer<'_>) -> Result<(), W::Error>) -> Written {
        write(self.wire.serializer()).map_err(ser::Error::custom)
    }

    /// Checks that the keys after the first `begin` differ, and forgets them. A map that is no
    /// struct may have equal keys.
    pub(super) fn check_keys(&mut self, begin: usize) -> Written {
        let (payload, keys) = (self.wire.payload(), &mut self.keys[begin..]);
        let bytes = |key: &(Range<usize>, bool)| &payload[key.0.clone()];
        keys.sort_unstable_by(|one, other| bytes(one).cmp(bytes(other)));
        let is_twice = |two: &&[_]| bytes(&two[0]) == bytes(&two[1]) && (two[0].1 || two[1].1);
        if let Some(twice) = keys.windows(2).find(is_twice) {
            return Err(refusal::called_twice(&text_of(bytes(&twice[0]))));
        }
        self.keys.truncate(begin);
        Ok(())
    }

    #[inline(always)]
    pub(super) fn note(&mut self, shape: Shape) {
        if !W::IS_MESSAGE_PACK && (W::IS_TRIAL || !shape.is_readable()) {
            self.note_new(shape);
        }
    }

    #[cold]
    fn note_new(&mut self, shape: Shape) {
        self.record.get_or_insert_default().shapes.push(shape);
    }

    #[inline(always)]
    pub(super) fn in_trial(&mut self, note: impl FnOnce(&mut Record)) {
        if W::IS_TRIAL {
            note(self.record.get_or_insert_default());
        }
    }

    /// Notes that the value of `shape`, called `name`, has `len` values without names. A field that
    /// is skipped makes another number. No trial can tell what MessagePack readers make of it, so
    /// the largest number that has been seen is taken for the type's.
    #[inline(always)]
    pub(super) fn note_values(&mut self, shape: Shape, name: Name, len: usize) -> Written {
        let shape_of = |len| shape.with_values(name, len, W::IS_MESSAGE_PACK);
        if !W::IS_MESSAGE_PACK {
            self.note(shape_of(len));
        } else if !shape_of(len).is_readable() {
            let noted = note_largest(len, self.is_buffered, shape_of);
            noted.map_err(|before| refusal::fewer_values(name, len, before))?;
        }
        Ok(())
    }
}

/// A text of MessagePack: a marker of one to three bytes is before it.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    let marker = 1 + usize::from(bytes[0].saturating_sub(0xd8));
    String::from_utf8_lossy(&bytes[marker..])
}

/// Remembers `len`, and forgets numbers that are smaller by less than 64, or returns such a larger
/// one.
#[cold]
fn note_largest(len: usize, is_buffered: bool, shape_of: impl Fn(usize) -> Shape) -> Result<(), usize> {
    let others = if is_buffered { 0 } else { 64 };
    if let Some(larger) = (len + 1..len + others).find(|larger| shape_of(*larger).is_readable()) {
        return Err(larger);
    }
    shape_of(len).set_readable();
    (len.saturating_sub(others)..len).for_each(|smaller| shape_of(smaller).forget());
    Ok(())
}

/// Where a value is, in one word, so that it stays in a register: 48 bits of its type's number, its
/// depth, and whether it is directly inside of an option.
#[derive(Clone, Copy)]
pub(super) struct Place(u64);

impl Place {
    #[inline(always)]
    pub(super) fn new<T: ?Sized>(steps: Steps, is_in_option: bool) -> Place {
        // A constant. Two types of one name, as in two versions of a crate, have two numbers.
        let number = FixedState::with_seed(0).hash_one(typeid::of::<T>());
        Place(number << 16 | u64::from(steps.0) << 1 | u64::from(is_in_option))
    }

    #[inline(always)]
    pub(super) fn steps(self) -> Steps {
        Steps((self.0 >> 1 & 0x7fff) as u32)
    }

    #[inline(always)]
    pub(super) fn is_in_option(self) -> bool {
        self.0 & 1 == 1
    }

    /// The shape of a value here, or of a variant of it.
    #[inline(always)]
    pub(super) fn shape(self, variant: Option<u32>) -> Shape {
        Shape::new(self.0 >> 16, variant)
    }
}
