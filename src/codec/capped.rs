//! Caps on what decoding can cost, whatever the payload says: an adapter between a codec's deserializer and a type.
//!
//! Two things are counted. *Levels*: a recursive type could nest until the stack is exhausted. Postcard has no limit,
//! and that of `rmp_serde` doesn't see enums, newtypes and options. *Elements*: those that take no byte of the payload,
//! such as `()`, could be as many as a length can say, and every length is a capacity to reserve.
//!
//! A level is a type with a name: a struct or an enum. What has no name (option, sequence, map, tuple) is a level only
//! directly inside of something that has none either; so a list of `struct Node { next: Option<Box<Node>> }` and a tree
//! of `struct Tree { children: Vec<Tree> }` have as many levels as they have generations.
//!
//! A sequence says its length before its elements, and is charged for all of them at once. A codec whose elements take
//! at least a byte each can't claim more than the payload's length in all, so that bounds time and memory; elements
//! that take no byte are allowed [`MAX_EMPTY_ELEMENTS`].
//!
//! Why not a crate: `serde_stacker` grows the stack instead of limiting it, and leaves a value whose `drop` overflows;
//! its issue 1 asks for a limit. The way of wrapping every trait of `serde::de` is that of `serde_stacker` and
//! `serde_ignored`.

use std::cell::Cell;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::CodecError;

/// As many as `serde_json` allows.
const MAX_LEVELS: u32 = 128;

/// Elements of sequences and maps that a payload may have beyond one for each of its bytes.
const MAX_EMPTY_ELEMENTS: usize = 1024;

/// Why a payload was not decoded to its end. Found as the source of [`SnapshotError::Decode`].
///
/// [`SnapshotError::Decode`]: crate::error::SnapshotError::Decode
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapError {
    /// Its values nest too deep.
    #[error("nested deeper than {} levels", MAX_LEVELS)]
    TooDeep,
    /// Its sequences claim more elements than it can hold.
    #[error("more elements than a payload of {len} bytes can hold")]
    TooManyElements {
        /// The payload's length in bytes.
        len: usize,
    },
}

/// Decodes a `T` from `inner`, the deserializer of a payload of `len` bytes, within the caps.
#[inline(always)]
pub(super) fn decode<'de, T, D>(inner: D, len: usize) -> Result<T, CodecError>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error: Into<CodecError>>,
{
    let caps =
        Caps { len, elements: Cell::new(len.saturating_add(MAX_EMPTY_ELEMENTS)), exceeded: Cell::new(None) };
    // Not every error keeps a text that it is made from (Postcard's doesn't), so the reason is kept beside it.
    // What has no name is a level at the root, too.
    T::deserialize(Capped { inner, place: Place { caps: &caps, steps: 1 } })
        .map_err(|error| caps.exceeded.get().map_or_else(|| error.into(), CodecError::from))
}

/// What one decoding has left.
struct Caps {
    len: usize,
    elements: Cell<usize>,
    exceeded: Cell<Option<CapError>>,
}

/// Where in the value one is.
#[derive(Clone, Copy)]
struct Place<'a> {
    caps: &'a Caps,
    /// Twice the level, and one more inside of something without a name.
    steps: u32,
}

/// What a type asked its deserializer for.
#[derive(Clone, Copy)]
enum Form {
    /// Something with a name.
    Named,
    /// The contents of an enum's variant, whose name was counted.
    Variant,
    /// Something without a name, of a length that the type knows.
    Tuple,
    /// Something without a name, of a length that the payload says.
    Open,
}

impl<'a> Place<'a> {
    #[inline(always)]
    fn inside<E: Error>(self, form: Form) -> Result<Place<'a>, E> {
        let steps = match form {
            Form::Named => (self.steps + 2) & !1,
            Form::Variant => self.steps,
            Form::Tuple | Form::Open => (self.steps + 1) | 1,
        };
        if steps / 2 > MAX_LEVELS {
            return Err(self.refuse(CapError::TooDeep));
        }
        Ok(Place { steps, ..self })
    }

    #[inline(always)]
    fn charge<E: Error>(self, elements: usize) -> Result<(), E> {
        match self.caps.elements.get().checked_sub(elements) {
            Some(left) => {
                self.caps.elements.set(left);
                Ok(())
            }
            None => Err(self.refuse(CapError::TooManyElements { len: self.caps.len })),
        }
    }

    #[cold]
    fn refuse<E: Error>(self, reason: CapError) -> E {
        self.caps.exceeded.set(Some(reason));
        E::custom(reason)
    }
}

/// A deserializer, a seed, or access to an enum or a map, with the caps.
struct Capped<'a, I> {
    inner: I,
    place: Place<'a>,
}

/// A visitor that passes the caps on to what it visits.
struct CappedVisitor<'a, V> {
    inner: V,
    place: Place<'a>,
    form: Form,
}

/// Elements of a sequence or entries of a map.
struct Elements<'a, A> {
    inner: A,
    place: Place<'a>,
    /// Whether each is charged for, because they were not all at once.
    each: bool,
}

macro_rules! deserialize_numbers {
    ($($method:ident)*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

macro_rules! deserialize_as {
    ($($form:ident $method:ident($($argument:ident: $type:ty),*))*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = CappedVisitor { inner: visitor, place: self.place, form: Form::$form };
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Capped<'_, D> {
    type Error = D::Error;

    deserialize_numbers! {
        deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    // A self-describing codec may answer any of these with a sequence or a map.
    deserialize_as! {
        Open deserialize_any()
        Open deserialize_char()
        Open deserialize_str()
        Open deserialize_string()
        Open deserialize_bytes()
        Open deserialize_byte_buf()
        Open deserialize_option()
        Open deserialize_unit()
        Open deserialize_unit_struct(name: &'static str)
        Open deserialize_seq()
        Open deserialize_map()
        Open deserialize_identifier()
        Open deserialize_ignored_any()
        Tuple deserialize_tuple(len: usize)
        Named deserialize_newtype_struct(name: &'static str)
        Named deserialize_tuple_struct(name: &'static str, len: usize)
        Named deserialize_struct(name: &'static str, fields: &'static [&'static str])
        Named deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {$(
        #[inline(always)]
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for CappedVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(formatter)
    }

    visit! {
        visit_bool(bool)
        visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128)
        visit_u8(u8) visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128)
        visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String)
        visit_bytes(&[u8]) visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    #[inline(always)]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline(always)]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    #[inline(always)]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Capped { inner, place: self.place.inside(self.form)? })
    }

    #[inline(always)]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Capped { inner, place: self.place.inside(self.form)? })
    }

    #[inline(always)]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Capped { inner, place: self.place.inside(self.form)? })
    }

    #[inline(always)]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let len = inner.size_hint();
        self.inner.visit_seq(Elements::new(inner, self.place, self.form, len)?)
    }

    #[inline(always)]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let len = inner.size_hint();
        self.inner.visit_map(Elements::new(inner, self.place, self.form, len)?)
    }
}

impl<'a, A> Elements<'a, A> {
    /// `len` is `None` if there are more elements than bytes left, or if the codec doesn't know.
    #[inline(always)]
    fn new<E: Error>(inner: A, place: Place<'a>, form: Form, len: Option<usize>) -> Result<Self, E> {
        let place = place.inside(form)?;
        let open = matches!(form, Form::Open);
        if let (true, Some(len)) = (open, len) {
            place.charge(len)?;
        }
        Ok(Elements { inner, place, each: open && len.is_none() })
    }

    #[inline(always)]
    fn seed<S, E: Error>(&self, seed: S) -> Result<Capped<'a, S>, E> {
        if self.each {
            self.place.charge(1)?;
        }
        Ok(Capped { inner: seed, place: self.place })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.seed(seed)?;
        self.inner.next_element_seed(seed)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline(always)]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.seed(seed)?;
        self.inner.next_key_seed(seed)
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Capped { inner: seed, place: self.place })
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Capped<'_, S> {
    type Value = S::Value;

    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Capped { inner, place: self.place })
    }
}

impl<'de, 'a, A: EnumAccess<'de>> EnumAccess<'de> for Capped<'a, A> {
    type Error = A::Error;
    type Variant = Capped<'a, A::Variant>;

    #[inline(always)]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let place = self.place;
        let (value, inner) = self.inner.variant_seed(Capped { inner: seed, place })?;
        Ok((value, Capped { inner, place }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Capped<'_, A> {
    type Error = A::Error;

    #[inline(always)]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline(always)]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Capped { inner: seed, place: self.place })
    }

    #[inline(always)]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = CappedVisitor { inner: visitor, place: self.place, form: Form::Variant };
        self.inner.tuple_variant(len, visitor)
    }

    #[inline(always)]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = CappedVisitor { inner: visitor, place: self.place, form: Form::Variant };
        self.inner.struct_variant(fields, visitor)
    }
}
