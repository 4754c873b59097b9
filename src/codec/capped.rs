//! Caps on the cost of decoding untrusted payloads: an adapter between a deserializer and a type.
//!
//! The adapter counts two things. *Levels*: a recursive type could nest until the stack is
//! exhausted. Postcard has no limit, and the limit of `rmp_serde` ignores enums, newtypes and
//! options. *Elements*: elements that take no byte of the payload, such as `()`, could be as many
//! as a length can claim, and every length is a capacity to reserve.
//!
//! A level is a type with a name: a struct or an enum. A type without a name (option, sequence,
//! map, tuple) is a level only directly inside of another type without a name. A list of
//! `struct Node { next: Option<Box<Node>> }` has one level for each node, and a tree of
//! `struct Tree { children: Vec<Tree> }` one for each generation.
//!
//! A sequence gives its length before its elements, and is charged for all elements at once. If
//! each element takes at least one byte, all sequences together cannot have more elements than the
//! payload has bytes: the payload's length bounds time and memory. Elements that take no byte have
//! a limit of [`MAX_EMPTY_ELEMENTS`].
//!
//! The crate `serde_stacker` grows the stack instead of limiting the levels, and returns a value
//! whose `drop` overflows; its issue 1 asks for a limit. The technique of wrapping every trait of
//! `serde::de` comes from `serde_stacker` and `serde_ignored`.

use std::cell::Cell;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::CodecError;

/// The limit of `serde_json`.
const MAX_LEVELS: u32 = 128;

/// Elements of sequences and maps that a payload may have beyond one for each of its bytes.
const MAX_EMPTY_ELEMENTS: usize = 1024;

/// A payload whose decoding would cost too much. It is the source of [`SnapshotError::Decode`].
///
/// [`SnapshotError::Decode`]: crate::error::SnapshotError::Decode
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapError {
    /// The values nest too deep.
    #[error("nested deeper than {} levels", MAX_LEVELS)]
    TooDeep,
    /// The sequences claim more elements than the payload can hold.
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
    // Postcard's error drops the text that it is made from, so `caps` keeps the reason. At the
    // root, a type without a name is a level, too: `steps` begins at 1.
    T::deserialize(Capped { inner, depth: Depth { caps: &caps, steps: 1 } })
        .map_err(|error| caps.exceeded.get().map_or_else(|| error.into(), CodecError::from))
}

/// The caps of one decoding, and the elements that are left.
struct Caps {
    len: usize,
    elements: Cell<usize>,
    exceeded: Cell<Option<CapError>>,
}

/// The depth in the value that is decoded.
#[derive(Clone, Copy)]
struct Depth<'a> {
    caps: &'a Caps,
    /// Twice the level, and one more inside of a type without a name.
    steps: u32,
}

/// The data that a type asked its deserializer for.
#[derive(Clone, Copy)]
enum Request {
    /// A type with a name.
    Named,
    /// The contents of an enum's variant. The enum has been counted.
    Variant,
    /// A type without a name, whose length the type knows.
    Tuple,
    /// A type without a name, whose length the payload gives.
    Open,
}

impl<'a> Depth<'a> {
    #[inline(always)]
    fn inside<E: Error>(self, request: Request) -> Result<Depth<'a>, E> {
        let steps = match request {
            Request::Named => (self.steps + 2) & !1,
            Request::Variant => self.steps,
            Request::Tuple | Request::Open => (self.steps + 1) | 1,
        };
        if steps / 2 > MAX_LEVELS {
            return Err(self.refuse(CapError::TooDeep));
        }
        Ok(Depth { steps, ..self })
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
    depth: Depth<'a>,
}

/// A visitor that passes the caps to the values that it visits.
struct CappedVisitor<'a, V> {
    inner: V,
    depth: Depth<'a>,
    request: Request,
}

/// Elements of a sequence or entries of a map.
struct Elements<'a, A> {
    inner: A,
    depth: Depth<'a>,
    /// Whether each element is charged for on its own: the codec did not give their number before.
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
    ($($request:ident $method:ident($($argument:ident: $type:ty),*))*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = CappedVisitor { inner: visitor, depth: self.depth, request: Request::$request };
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

    // A self-describing codec may answer any of these calls with a sequence or a map.
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
    ($($method:ident($($value:ident: $type:ty)?))*) => {$(
        #[inline(always)]
        fn $method<E: Error>(self, $($value: $type)?) -> Result<V::Value, E> {
            self.inner.$method($($value)?)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for CappedVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(formatter)
    }

    visit! {
        visit_none() visit_unit() visit_bool(v: bool)
        visit_i8(v: i8) visit_i16(v: i16) visit_i32(v: i32) visit_i64(v: i64) visit_i128(v: i128)
        visit_u8(v: u8) visit_u16(v: u16) visit_u32(v: u32) visit_u64(v: u64) visit_u128(v: u128)
        visit_f32(v: f32) visit_f64(v: f64) visit_char(v: char)
        visit_str(v: &str) visit_borrowed_str(v: &'de str) visit_string(v: String)
        visit_bytes(v: &[u8]) visit_borrowed_bytes(v: &'de [u8]) visit_byte_buf(v: Vec<u8>)
    }

    #[inline(always)]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline(always)]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline(always)]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline(always)]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let len = inner.size_hint();
        self.inner.visit_seq(Elements::new(inner, self.depth, self.request, len)?)
    }

    #[inline(always)]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let len = inner.size_hint();
        self.inner.visit_map(Elements::new(inner, self.depth, self.request, len)?)
    }
}

impl<'a, A> Elements<'a, A> {
    /// `len` is `None` if it exceeds the number of bytes left, or if the codec does not know it.
    #[inline(always)]
    fn new<E: Error>(inner: A, depth: Depth<'a>, request: Request, len: Option<usize>) -> Result<Self, E> {
        let depth = depth.inside(request)?;
        let open = matches!(request, Request::Open);
        if let (true, Some(len)) = (open, len) {
            depth.charge(len)?;
        }
        Ok(Elements { inner, depth, each: open && len.is_none() })
    }

    #[inline(always)]
    fn seed<S, E: Error>(&self, seed: S) -> Result<Capped<'a, S>, E> {
        if self.each {
            self.depth.charge(1)?;
        }
        Ok(Capped { inner: seed, depth: self.depth })
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
        self.inner.next_value_seed(Capped { inner: seed, depth: self.depth })
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
        self.inner.deserialize(Capped { inner, depth: self.depth })
    }
}

impl<'de, 'a, A: EnumAccess<'de>> EnumAccess<'de> for Capped<'a, A> {
    type Error = A::Error;
    type Variant = Capped<'a, A::Variant>;

    #[inline(always)]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let depth = self.depth;
        let (value, inner) = self.inner.variant_seed(Capped { inner: seed, depth })?;
        Ok((value, Capped { inner, depth }))
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
        self.inner.newtype_variant_seed(Capped { inner: seed, depth: self.depth })
    }

    #[inline(always)]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = CappedVisitor { inner: visitor, depth: self.depth, request: Request::Variant };
        self.inner.tuple_variant(len, visitor)
    }

    #[inline(always)]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = CappedVisitor { inner: visitor, depth: self.depth, request: Request::Variant };
        self.inner.struct_variant(fields, visitor)
    }
}
