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
//!
//! Beside the caps, the adapter reads MessagePack as `checked` writes it: types have their form for
//! people, and integers of 128 bits may be extensions.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

/// The limit of `serde_json`.
const MAX_LEVELS: u32 = 128;

/// Elements of sequences and maps that a payload may have beyond one for each of its bytes.
pub(super) const MAX_EMPTY_ELEMENTS: usize = 1024;

/// The types of the MessagePack extensions for integers beyond 64 bits, whose bytes are the
/// number's 16, most significant first.
pub(crate) const EXTENSION_I128: i8 = b'i'.cast_signed();
pub(crate) const EXTENSION_U128: i8 = b'u'.cast_signed();

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

#[cold]
#[inline(never)]
fn record(asked: &RefCell<Vec<Fields>>, name: &'static str, fields: &'static [&'static str]) {
    asked.borrow_mut().push((name, fields));
}

/// A struct and its fields.
pub(super) type Fields = (&'static str, &'static [&'static str]);

/// How a payload is decoded.
#[derive(Clone, Copy)]
pub(super) struct Mode<'a> {
    /// Whether the payload is MessagePack.
    pub(super) is_message_pack: bool,
    /// Where the structs that the type asks for are recorded.
    pub(super) asked: Option<&'a RefCell<Vec<Fields>>>,
}

/// Why there is no value.
pub(super) enum Failure<E> {
    Cap(CapError),
    Codec(E),
}

/// Decodes a `T` from `inner`, the deserializer of a payload of `len` bytes, within the caps.
#[inline(always)]
pub(super) fn decode<'de, T, D>(inner: D, len: usize, mode: Mode<'_>) -> Result<T, Failure<D::Error>>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let elements = Cell::new(len.saturating_add(MAX_EMPTY_ELEMENTS));
    let caps = Caps { len, elements, exceeded: Cell::new(None), mode };
    // Postcard's error drops the text that it is made from, so `caps` keeps the reason.
    T::deserialize(Capped { inner, depth: Depth { caps: &caps, steps: Steps::ROOT } })
        .map_err(|error| caps.exceeded.get().map_or(Failure::Codec(error), Failure::Cap))
}

/// The caps of one decoding, and the elements that are left.
struct Caps<'a> {
    len: usize,
    elements: Cell<usize>,
    exceeded: Cell<Option<CapError>>,
    mode: Mode<'a>,
}

/// A depth: twice the level, and one more inside of a type without a name.
#[derive(Clone, Copy)]
pub(super) struct Steps(pub(super) u32);

impl Steps {
    /// At the root, a type without a name is a level, too.
    pub(super) const ROOT: Steps = Steps(1);

    #[inline(always)]
    pub(super) fn inside(self, request: Request) -> Result<Steps, CapError> {
        let steps = match request {
            Request::Named => (self.0 + 2) & !1,
            Request::Variant => self.0,
            Request::Tuple | Request::Open => (self.0 + 1) | 1,
        };
        match steps / 2 > MAX_LEVELS {
            true => Err(CapError::TooDeep),
            false => Ok(Steps(steps)),
        }
    }
}

/// The depth in the value that is decoded.
#[derive(Clone, Copy)]
struct Depth<'a> {
    caps: &'a Caps<'a>,
    steps: Steps,
}

/// The data that a type asked its deserializer for, or gives its serializer.
#[derive(Clone, Copy)]
pub(super) enum Request {
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
        match self.steps.inside(request) {
            Ok(steps) => Ok(Depth { steps, ..self }),
            Err(reason) => Err(self.refuse(reason)),
        }
    }

    /// Records a struct that the type asked for.
    #[inline(always)]
    fn asked(self, name: &'static str, fields: &'static [&'static str]) {
        if let Some(asked) = self.caps.mode.asked {
            record(asked, name, fields);
        }
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

macro_rules! deserialize_wide {
    ($($method:ident($is_signed:literal))*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            match self.depth.caps.mode.is_message_pack {
                true => self.inner.deserialize_any(Wide { inner: visitor, is_signed: $is_signed }),
                false => self.inner.$method(visitor),
            }
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
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    deserialize_wide! {
        deserialize_i128(true)
        deserialize_u128(false)
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
        Named deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.depth.asked(name, fields);
        let visitor = CappedVisitor { inner: visitor, depth: self.depth, request: Request::Named };
        self.inner.deserialize_struct(name, fields, visitor)
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        self.depth.caps.mode.is_message_pack
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

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    fn seed<S>(&self, seed: S) -> Capped<'a, S> {
        Capped { inner: seed, depth: self.depth }
    }

    /// Charges for `next`, if there is one: as often as `checked` counts.
    #[inline(always)]
    fn charged<V, E: Error>(&self, next: Result<Option<V>, E>) -> Result<Option<V>, E> {
        if self.each && matches!(next, Ok(Some(_))) {
            self.depth.charge(1)?;
        }
        next
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let next = self.inner.next_element_seed(self.seed(seed));
        self.charged(next)
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
        let next = self.inner.next_key_seed(self.seed(seed));
        self.charged(next)
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.seed(seed))
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
        self.depth.asked("", fields);
        let visitor = CappedVisitor { inner: visitor, depth: self.depth, request: Request::Variant };
        self.inner.struct_variant(fields, visitor)
    }
}

/// A visitor of a 128-bit integer of MessagePack: an integer, an extension, or 16 bytes, which
/// `rmp_serde` writes.
struct Wide<V> {
    inner: V,
    is_signed: bool,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Wide<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(formatter)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.inner.visit_i128(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.inner.visit_u128(value.into())
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<V::Value, E> {
        match (value.try_into(), self.is_signed) {
            (Ok(bytes), true) => self.inner.visit_i128(i128::from_be_bytes(bytes)),
            (Ok(bytes), false) => self.inner.visit_u128(u128::from_be_bytes(bytes)),
            (Err(_), _) => Err(Error::invalid_value(Unexpected::Bytes(value), &self)),
        }
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let (kind, bytes) = <(i8, &'de [u8])>::deserialize(inner)?;
        match kind {
            EXTENSION_I128 => Wide { is_signed: true, ..self }.visit_bytes(bytes),
            EXTENSION_U128 => Wide { is_signed: false, ..self }.visit_bytes(bytes),
            _ => Err(Error::invalid_type(Unexpected::Other("another extension"), &self)),
        }
    }
}
