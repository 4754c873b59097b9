//! Checks while a state is encoded: an adapter between a type and the serializer of a codec, the
//! counterpart of `capped` on the writing side. The writer refuses what no reader could decode, and
//! what readers would decode to another state.
//!
//! The codec's serializer writes every byte. The adapter calls it for values without contents and
//! for the beginnings of the others, and passes itself to the contents. It counts levels and
//! elements as `capped` does, and compares announced lengths with what comes.

use std::any::type_name;
use std::fmt::Display;
use std::mem;

use serde::ser::{self, Serialize, Serializer};

use super::capped::{EXTENSION_I128, EXTENSION_U128};
use super::caps::{CapError, MAX_EMPTY_ELEMENTS, Request, Steps};
use super::output::{Output, Place, Wire, Written, text_of};
use super::refusal::{self, EncodeError, Name};
use super::shapes::{Record, Shape};

type Opened<'a, W> = Result<Contents<'a, W>, EncodeError>;

/// Encodes `state`, or says why the codec can't carry it.
#[inline(always)]
pub(super) fn encode<W: Wire, T: Serialize + ?Sized>(
    state: &T,
    wire: W,
) -> Result<Option<Box<Record>>, EncodeError> {
    let mut out = Output::new(wire);
    let place = Place::new::<T>(Steps::ROOT, false);
    out.note(place.shape(None));
    state.serialize(Encoder { out: &mut out, place }).map_err(EncodeError::of::<T>)?;
    let len = out.wire.payload().len();
    if out.elements > len.saturating_add(MAX_EMPTY_ELEMENTS) {
        return Err(EncodeError::from(CapError::TooManyElements { len }).of::<T>());
    }
    if W::IS_MESSAGE_PACK && u32::try_from(len).is_err() {
        return Err(EncodeError::new("more than 4 GiB, but lengths in MessagePack have 32 bits"));
    }
    Ok(out.record)
}

/// The serializer that a type gets.
pub(super) struct Encoder<'a, W> {
    out: &'a mut Output<W>,
    place: Place,
}

impl<'a, W: Wire> Encoder<'a, W> {
    /// The depth of the contents.
    #[inline(always)]
    fn inside(&self, request: Request) -> Result<Steps, EncodeError> {
        self.place.steps().inside(request).map_err(EncodeError::from)
    }

    /// Checks that a unit, or an option without contents, may be here.
    #[inline(always)]
    fn nothing(&self) -> Written {
        let is_lost = W::IS_MESSAGE_PACK && self.place.is_in_option();
        if is_lost { Err(refusal::empty_some()) } else { Ok(()) }
    }

    /// An integer of more than 64 bits in MessagePack: an extension of 16 bytes.
    fn wide(self, kind: i8, bytes: [u8; 16]) -> Written {
        let payload = self.out.wire.payload();
        payload.extend_from_slice(&[0xd8, kind.cast_unsigned()]);
        payload.extend_from_slice(&bytes);
        Ok(())
    }

    /// The name of a variant, which is full if it has contents. Returns their depth.
    #[inline(always)]
    fn variant(
        &mut self,
        name: Name,
        index: u32,
        variant: Name,
        is_full: bool,
    ) -> Result<Steps, EncodeError> {
        self.out.note(self.place.shape(Some(index)));
        self.out.in_trial(|record| {
            record.variants.push((name, variant));
            record.kinds.push("variant");
        });
        if W::IS_MESSAGE_PACK && is_full {
            self.out.write(|serializer| serializer.serialize_map(Some(1)).map(drop))?;
        }
        self.out.write(|serializer| serializer.serialize_unit_variant(name, index, variant))?;
        self.inside(Request::Named)
    }

    /// A value with contents. `announced` is `None` if the type does not know how many.
    #[inline(always)]
    fn contents(self, steps: Steps, announced: Option<usize>) -> Opened<'a, W> {
        if !W::IS_MESSAGE_PACK && announced.is_none() {
            return Err(refusal::unknown_length());
        }
        let begin = if announced.is_none() { self.out.wire.payload().len() } else { 0 };
        let keys = announced.is_none().then_some(self.out.keys.len());
        let (out, types, count, group) = (self.out, [Shape::NONE; 2], 0, 0);
        Ok(Contents { out, steps, announced, count, begin, types, first: "", keys, has_key: false, group })
    }

    /// A sequence or a map.
    #[inline(always)]
    fn open(
        self,
        len: Option<usize>,
        begin: impl FnOnce(W::Serializer<'_>) -> Result<(), W::Error>,
    ) -> Opened<'a, W> {
        let contents = self.inside(Request::Open).and_then(|steps| self.contents(steps, len))?;
        contents.out.in_trial(|record| record.kinds.push("length"));
        if let Some(len) = len {
            contents.out.elements = contents.out.elements.saturating_add(len);
            match W::IS_MESSAGE_PACK {
                true => contents.out.write(begin)?,
                // The same bytes, and a result that fits into a register.
                false => contents.out.write(|serializer| serializer.serialize_u64(len as u64))?,
            }
        }
        Ok(contents)
    }
}

/// The name by which `rmp_serde` knows an extension.
const EXTENSION: &str = "_ExtStruct";

macro_rules! serialize_values {
    ($($kind:ident $method:ident($type:ty))*) => {$(
        #[inline(always)]
        fn $method(self, value: $type) -> Written {
            self.out.in_trial(|record| record.kinds.push(stringify!($kind)));
            self.out.write(|serializer| serializer.$method(value))
        }
    )*};
}

impl<'a, W: Wire> Serializer for Encoder<'a, W> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Contents<'a, W>;
    type SerializeTuple = Contents<'a, W>;
    type SerializeTupleStruct = Contents<'a, W>;
    type SerializeTupleVariant = Contents<'a, W>;
    type SerializeMap = Contents<'a, W>;
    type SerializeStruct = Contents<'a, W>;
    type SerializeStructVariant = Contents<'a, W>;

    serialize_values! {
        bool serialize_bool(bool)
        i8 serialize_i8(i8) i16 serialize_i16(i16) i32 serialize_i32(i32) i64 serialize_i64(i64)
        u8 serialize_u8(u8) u16 serialize_u16(u16) u32 serialize_u32(u32) u64 serialize_u64(u64)
        f32 serialize_f32(f32) f64 serialize_f64(f64) char serialize_char(char)
        str serialize_str(&str) bytes serialize_bytes(&[u8])
    }

    #[inline(always)]
    fn serialize_i128(self, value: i128) -> Written {
        self.out.in_trial(|record| record.kinds.push("i128"));
        match i64::try_from(value) {
            Ok(value) if W::IS_MESSAGE_PACK => self.serialize_i64(value),
            Err(_) if W::IS_MESSAGE_PACK => self.wide(EXTENSION_I128, value.to_be_bytes()),
            _ => self.out.write(|serializer| serializer.serialize_i128(value)),
        }
    }

    #[inline(always)]
    fn serialize_u128(self, value: u128) -> Written {
        self.out.in_trial(|record| record.kinds.push("u128"));
        match u64::try_from(value) {
            Ok(value) if W::IS_MESSAGE_PACK => self.serialize_u64(value),
            Err(_) if W::IS_MESSAGE_PACK => self.wide(EXTENSION_U128, value.to_be_bytes()),
            _ => self.out.write(|serializer| serializer.serialize_u128(value)),
        }
    }

    #[inline(always)]
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Written {
        self.out.in_trial(|record| record.kinds.push("str"));
        self.out.write(|serializer| serializer.collect_str(value))
    }

    #[inline(always)]
    fn serialize_none(self) -> Written {
        self.nothing()?;
        self.out.in_trial(|record| record.kinds.push("option"));
        self.out.write(|serializer| serializer.serialize_none())
    }

    #[inline(always)]
    fn serialize_unit(self) -> Written {
        self.nothing()?;
        self.out.write(|serializer| serializer.serialize_unit())
    }

    /// Null, and not the empty array of `rmp_serde`, which serde refuses in an `untagged` enum. So
    /// `Some` of it is refused everywhere: no writer knows that it is inside of one.
    #[inline(always)]
    fn serialize_unit_struct(self, _: Name) -> Written {
        self.serialize_unit()
    }

    #[inline(always)]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        let place = Place::new::<T>(self.inside(Request::Open)?, true);
        self.out.note(place.shape(None));
        self.out.in_trial(|record| record.kinds.push("option"));
        if !W::IS_MESSAGE_PACK {
            self.out.write(|serializer| serializer.serialize_some(&()))?;
        }
        value.serialize(Encoder { out: self.out, place })
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: Name, value: &T) -> Written {
        if W::IS_MESSAGE_PACK && name == EXTENSION {
            return self.out.write(|serializer| serializer.serialize_newtype_struct(name, value));
        }
        let place = Place::new::<T>(self.inside(Request::Named)?, self.place.is_in_option());
        value.serialize(Encoder { out: self.out, place })
    }

    #[inline(always)]
    fn serialize_unit_variant(mut self, name: Name, index: u32, variant: Name) -> Written {
        self.variant(name, index, variant, false).map(drop)
    }

    #[inline(always)]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        name: Name,
        index: u32,
        variant: Name,
        value: &T,
    ) -> Written {
        let place = Place::new::<T>(self.variant(name, index, variant, true)?, false);
        value.serialize(Encoder { out: self.out, place }).map_err(|error| error.of::<T>().at(variant))
    }

    #[inline(always)]
    fn serialize_seq(self, len: Option<usize>) -> Opened<'a, W> {
        self.open(len, |serializer| serializer.serialize_seq(len).map(drop))
    }

    #[inline(always)]
    fn serialize_tuple(self, len: usize) -> Opened<'a, W> {
        self.out.write(|serializer| serializer.serialize_tuple(len).map(drop))?;
        let steps = self.inside(Request::Tuple)?;
        self.contents(steps, Some(len))
    }

    #[inline(always)]
    fn serialize_tuple_struct(self, name: Name, len: usize) -> Opened<'a, W> {
        self.out.note_values(self.place.shape(None), name, len)?;
        self.out.write(|serializer| serializer.serialize_tuple_struct(name, len).map(drop))?;
        let steps = self.inside(Request::Named)?;
        Ok(self.contents(steps, Some(len))?.of(name, ""))
    }

    #[inline(always)]
    fn serialize_tuple_variant(mut self, name: Name, index: u32, variant: Name, len: usize) -> Opened<'a, W> {
        let shape = self.place.shape(Some(index));
        self.out.note_values(shape, name, len).map_err(|error| error.at(variant))?;
        let steps = self.variant(name, index, variant, true)?;
        self.out.write(|serializer| serializer.serialize_tuple(len).map(drop))?;
        Ok(self.contents(steps, Some(len))?.of(name, variant))
    }

    #[inline(always)]
    fn serialize_map(self, len: Option<usize>) -> Opened<'a, W> {
        self.open(len, |serializer| serializer.serialize_map(len).map(drop))
    }

    #[inline(always)]
    fn serialize_struct(self, name: Name, len: usize) -> Opened<'a, W> {
        self.out.write(|serializer| serializer.serialize_struct(name, len).map(drop))?;
        let steps = self.inside(Request::Named)?;
        Ok(self.contents(steps, Some(len))?.of(name, ""))
    }

    #[inline(always)]
    fn serialize_struct_variant(
        mut self,
        name: Name,
        index: u32,
        variant: Name,
        len: usize,
    ) -> Opened<'a, W> {
        let steps = self.variant(name, index, variant, true)?;
        self.out.write(|serializer| serializer.serialize_struct(name, len).map(drop))?;
        Ok(self.contents(steps, Some(len))?.of(name, variant))
    }

    fn is_human_readable(&self) -> bool {
        W::IS_MESSAGE_PACK
    }
}

/// A value with contents that are still to be written.
pub(super) struct Contents<'a, W> {
    out: &'a mut Output<W>,
    steps: Steps,
    announced: Option<usize>,
    count: usize,
    /// Where the payload's length belongs, if nothing was announced.
    begin: usize,
    /// The last types of elements, or of keys and values.
    types: [Shape; 2],
    /// The first field.
    first: Name,
    /// The number of keys that were noted before, if the keys of this map may be names of fields.
    keys: Option<usize>,
    /// Whether the value of the last key is still to come.
    has_key: bool,
    /// In a trial, where the record has the fields.
    group: usize,
}

impl<W: Wire> Contents<'_, W> {
    /// The contents of a struct, or of a variant of an enum.
    #[inline(always)]
    fn of(mut self, name: Name, variant: Name) -> Self {
        self.out.in_trial(|record| self.group = record.group(name, variant));
        self
    }

    #[inline(always)]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let place = Place::new::<T>(self.steps, false);
        value.serialize(Encoder { out: &mut *self.out, place }).map_err(EncodeError::of::<T>)
    }

    /// One of many values: an element, a key (`role` 0) or a value of a map (1).
    #[inline(always)]
    fn one<T: Serialize + ?Sized>(&mut self, role: usize, value: &T) -> Written {
        let shape = Place::new::<T>(self.steps, false).shape(None);
        if self.types[role] != shape {
            self.types[role] = shape;
            self.out.note(shape);
        }
        self.value(value)
    }

    /// The error inside of the last value of a map, which may be a struct with names of fields.
    #[cold]
    fn in_entry(&mut self, error: EncodeError) -> EncodeError {
        let index = self.count - 1;
        match self.keys.and_then(|keys| self.out.keys.get(keys + index)) {
            Some((key, true)) => error.at(&text_of(&self.out.wire.payload()[key.clone()])),
            _ => error.at_index(index),
        }
    }

    /// One of any number of values.
    #[inline(always)]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.count;
        self.count += 1;
        self.one(0, value).map_err(|error| error.at_index(index))
    }

    /// One of a fixed number of values.
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        let index = self.count;
        self.part("", value).map_err(|error| error.at_index(index))
    }

    /// A field of a struct, or one without a name.
    #[inline(always)]
    fn part<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Written {
        self.count += 1;
        let begin = if W::IS_TRIAL { self.out.wire.payload().len() } else { 0 };
        self.value(value)?;
        if let (true, Some(record)) = (W::IS_TRIAL, &mut self.out.record) {
            record.field(self.group, name, &self.out.wire.payload()[begin..]);
        }
        Ok(())
    }

    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Written {
        if W::IS_MESSAGE_PACK {
            // The tag of an enum comes before the fields, which may have one of that name.
            match self.count {
                0 => self.first = name,
                _ if self.first == name => return Err(refusal::called_twice(name)),
                _ => {}
            }
            self.out.write(|serializer| serializer.serialize_str(name))?;
        }
        self.part(name, value).map_err(|error| error.at(name))
    }

    #[inline(always)]
    fn skip(&mut self, name: Name) -> Written {
        if W::IS_MESSAGE_PACK { Ok(()) } else { Err(refusal::skipped(name)) }
    }

    #[inline(always)]
    fn end(self, begin: impl FnOnce(W::Serializer<'_>, usize) -> Result<(), W::Error>) -> Written {
        match self.announced {
            Some(len) if len == self.count => Ok(()),
            Some(len) => Err(refusal::other_length(len, self.count)),
            None => {
                // The length comes last, and then moves to the front.
                let len = self.out.wire.payload().len();
                self.out.elements = self.out.elements.saturating_add(self.count);
                self.out.write(|serializer| begin(serializer, self.count))?;
                let payload = self.out.wire.payload();
                let moved = payload.len() - len;
                payload[self.begin..].rotate_right(moved);
                Ok(())
            }
        }
    }
}

macro_rules! members {
    ($($implemented:ident $method:ident $write:ident)*) => {$(
        impl<W: Wire> ser::$implemented for Contents<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
                self.$write(value)
            }

            #[inline(always)]
            fn end(self) -> Written {
                self.end(|serializer, len| serializer.serialize_seq(Some(len)).map(drop))
            }
        }
    )*};
}

members! {
    SerializeSeq serialize_element element
    SerializeTuple serialize_element member
    SerializeTupleStruct serialize_field member
    SerializeTupleVariant serialize_field member
}

macro_rules! fields {
    ($($implemented:ident)*) => {$(
        impl<W: Wire> ser::$implemented for Contents<'_, W> {
            type Ok = ();
            type Error = EncodeError;

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Written {
                self.field(name, value)
            }

            #[inline(always)]
            fn skip_field(&mut self, name: Name) -> Written {
                self.skip(name)
            }

            #[inline(always)]
            fn end(self) -> Written {
                self.end(|_, _| Ok(()))
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl<W: Wire> ser::SerializeMap for Contents<'_, W> {
    type Ok = ();
    type Error = EncodeError;

    #[inline(always)]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Written {
        if mem::replace(&mut self.has_key, true) {
            return Err(refusal::half_entry());
        }
        // The name of a field is a `str`, the key of a map has a type with a size. A tag is the
        // first field.
        let is_name = type_name::<T>() == "str";
        if W::IS_MESSAGE_PACK && is_name && self.count == 0 {
            self.keys = Some(self.out.keys.len());
        }
        self.count += 1;
        let begin = self.out.wire.payload().len();
        self.one(0, key)?;
        if self.keys.is_some() {
            let end = self.out.wire.payload().len();
            self.out.keys.push((begin..end, is_name));
        }
        Ok(())
    }

    #[inline(always)]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Written {
        if !mem::replace(&mut self.has_key, false) {
            return Err(refusal::half_entry());
        }
        // Serde's buffer for a variant whose enum is flattened or inside of a `tag`.
        let is_buffer = type_name::<T>().ends_with("::ser::content::Content");
        let begins = is_buffer && !mem::replace(&mut self.out.is_buffered, true);
        let written = self.one(1, value).map_err(|error| self.in_entry(error));
        self.out.is_buffered &= !begins;
        written
    }

    #[inline(always)]
    fn end(self) -> Written {
        if self.has_key {
            return Err(refusal::half_entry());
        }
        if let Some(keys) = self.keys {
            self.out.check_keys(keys)?;
        }
        self.end(|serializer, len| serializer.serialize_map(Some(len)).map(drop))
    }
}
