//! An adapter between a deserializer and a type: it enforces the caps on the cost of decoding.
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

use super::caps::{CapError, MAX_EMPTY_ELEMENTS, Request, Steps};
use super::refusal::Name;
use super::shapes::Asked;

/// The types of the MessagePack extensions for integers beyond 64 bits, whose bytes are the
/// number's 16, most significant first.
pub(crate) const EXTENSION_I128: i8 = b'i'.cast_signed();
pub(crate) const EXTENSION_U128: i8 = b'u'.cast_signed();

/// Why there is no value.
pub(super) enum Failure<E> {
    Cap(CapError),
    Codec(E),
    /// So many bytes are left over.
    #[cfg_attr(not(feature = "postcard"), expect(dead_code, reason = "MessagePack does not count"))]
    Rest(usize),
}

/// Decodes a `T` from `inner`, the deserializer of a payload of `len` bytes, within the caps.
#[inline(always)]
pub(super) fn decode<'de, T, D, M>(inner: D, len: usize, mode: M) -> Result<T, Failure<D::Error>>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
    M: Mode,
{
    let elements = Cell::new(len.saturating_add(MAX_EMPTY_ELEMENTS));
    let caps = Caps { len, elements, exceeded: Cell::new(None), mode };
    // Postcard's error drops the text that it is made from, so `caps` keeps the reason.
    T::deserialize(Capped { inner, depth: Depth { caps: &caps, steps: Steps::ROOT } })
        .map_err(|error| caps.exceeded.get().map_or(Failure::Codec(error), Failure::Cap))
}

/// How a payload is decoded.
pub(super) trait Mode: Copy {
    const IS_MESSAGE_PACK: bool = false;

    /// Where everything that the type asks for is recorded.
    fn asked(&self) -> Option<&RefCell<Asked>> {
        None
    }
}

/// The payload of a reader.
#[derive(Clone, Copy)]
pub(super) struct Read<const IS_MESSAGE_PACK: bool>;

impl<const IS_MESSAGE_PACK: bool> Mode for Read<IS_MESSAGE_PACK> {
    const IS_MESSAGE_PACK: bool = IS_MESSAGE_PACK;
}

/// A trial of a payload of Postcard.
#[cfg(feature = "postcard")]
impl Mode for &RefCell<Asked> {
    fn asked(&self) -> Option<&RefCell<Asked>> {
        Some(self)
    }
}

/// The caps of one decoding, and the elements that are left.
struct Caps<M> {
    len: usize,
    elements: Cell<usize>,
    exceeded: Cell<Option<CapError>>,
    mode: M,
}

/// The depth in the value that is decoded.
#[derive(Clone, Copy)]
struct Depth<'a, M> {
    caps: &'a Caps<M>,
    steps: Steps,
}

impl<'a, M: Mode> Depth<'a, M> {
    #[inline(always)]
    fn inside<E: Error>(self, request: Request) -> Result<Self, E> {
        match self.steps.inside(request) {
            Ok(steps) => Ok(Depth { steps, ..self }),
            Err(reason) => Err(self.refuse(reason)),
        }
    }

    /// Records what the type asked for.
    #[inline(always)]
    fn asks(self, record: impl FnOnce(&mut Asked)) {
        if let Some(asked) = self.caps.mode.asked() {
            record(&mut asked.borrow_mut());
        }
    }

    #[inline(always)]
    fn visitor<V>(self, request: Request, inner: V) -> CappedVisitor<'a, V, M> {
        CappedVisitor { inner, depth: self, request, fields: 0 }
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
struct Capped<'a, I, M> {
    inner: I,
    depth: Depth<'a, M>,
}

/// A visitor that passes the caps to the values that it visits.
struct CappedVisitor<'a, V, M> {
    inner: V,
    depth: Depth<'a, M>,
    request: Request,
    /// The number of fields of a type without names for them. A payload with fewer values may lack
    /// any of them, but `#[serde(default)]` takes the last ones for missing.
    fields: usize,
}

/// Elements of a sequence or entries of a map.
struct Elements<'a, A, M> {
    inner: A,
    depth: Depth<'a, M>,
    /// Whether each element is charged for on its own: the codec did not give their number before.
    each: bool,
}

macro_rules! deserialize_values {
    ($($kind:ident $method:ident$(($request:ident))?)*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.depth.asks(|asked| asked.kinds.push(stringify!($kind)));
            $(let visitor = self.depth.visitor(Request::$request, visitor);)?
            self.inner.$method(visitor)
        }
    )*};
}

macro_rules! deserialize_wide {
    ($($kind:ident $method:ident($is_signed:literal))*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.depth.asks(|asked| asked.kinds.push(stringify!($kind)));
            match M::IS_MESSAGE_PACK {
                true => self.inner.deserialize_any(Wide { inner: visitor, is_signed: $is_signed }),
                false => self.inner.$method(visitor),
            }
        }
    )*};
}

macro_rules! deserialize_as {
    ($(
        $request:ident $method:ident($($argument:ident: $type:ty),*)
        $(, asks $asks:expr)? $(, has $fields:ident fields)?;
    )*) => {$(
        #[inline(always)]
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            $(self.depth.asks($asks);)?
            let visitor = CappedVisitor { $(fields: $fields,)? ..self.depth.visitor(Request::$request, visitor) };
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>, M: Mode> Deserializer<'de> for Capped<'_, D, M> {
    type Error = D::Error;

    // A self-describing codec may answer some of these calls with a sequence.
    deserialize_values! {
        bool deserialize_bool
        i8 deserialize_i8 i16 deserialize_i16 i32 deserialize_i32 i64 deserialize_i64
        u8 deserialize_u8 u16 deserialize_u16 u32 deserialize_u32 u64 deserialize_u64
        f32 deserialize_f32 f64 deserialize_f64 char deserialize_char(Open)
        str deserialize_str(Open) str deserialize_string(Open)
        bytes deserialize_bytes(Open) bytes deserialize_byte_buf(Open)
    }

    deserialize_wide! {
        i128 deserialize_i128(true)
        u128 deserialize_u128(false)
    }

    // A self-describing codec may answer any of these calls with a sequence or a map.
    deserialize_as! {
        Any deserialize_any();
        Any deserialize_ignored_any();
        Open deserialize_option(), asks |asked| asked.kinds.push("option");
        Open deserialize_unit();
        Open deserialize_unit_struct(name: Name);
        Open deserialize_seq(), asks |asked| asked.kinds.push("length");
        Open deserialize_map(), asks |asked| asked.kinds.push("length");
        Open deserialize_identifier();
        Tuple deserialize_tuple(len: usize), has len fields;
        Named deserialize_newtype_struct(name: Name);
        Named deserialize_tuple_struct(name: Name, len: usize),
            asks |asked| asked.groups.push((name, &[], len)), has len fields;
        Named deserialize_struct(name: Name, fields: &'static [Name]),
            asks |asked| asked.groups.push((name, fields, fields.len()));
        Named deserialize_enum(name: Name, variants: &'static [Name]),
            asks |asked| {
                asked.kinds.push("variant");
                asked.enumeration = (name, asked.kinds.0.len());
            };
    }

    fn is_human_readable(&self) -> bool {
        M::IS_MESSAGE_PACK
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

impl<'de, V: Visitor<'de>, M: Mode> Visitor<'de> for CappedVisitor<'_, V, M> {
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

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Capped { inner, depth: self.depth.inside(self.request)? })
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let len = inner.size_hint();
        if let Some(len) = len.filter(|len| *len < self.fields) {
            return Err(Error::invalid_length(len, &self.inner));
        }
        let elements = self.elements(len, inner)?;
        self.inner.visit_seq(elements)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let elements = self.elements(inner.size_hint(), inner)?;
        self.inner.visit_map(elements)
    }
}

impl<'de, 'a, V: Visitor<'de>, M: Mode> CappedVisitor<'a, V, M> {
    /// `len` is `None` if it exceeds the number of bytes left, or if the codec does not know it.
    #[inline(always)]
    fn elements<A, E: Error>(&self, len: Option<usize>, inner: A) -> Result<Elements<'a, A, M>, E> {
        let depth = self.depth.inside(self.request)?;
        let open = matches!(self.request, Request::Open | Request::Any);
        if let (true, Some(len)) = (open, len) {
            depth.charge(len)?;
        }
        Ok(Elements { inner, depth, each: open && len.is_none() })
    }
}

impl<'a, A, M: Mode> Elements<'a, A, M> {
    fn seed<S>(&self, seed: S) -> Capped<'a, S, M> {
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

impl<'de, A: SeqAccess<'de>, M: Mode> SeqAccess<'de> for Elements<'_, A, M> {
    type Error = A::Error;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let next = self.inner.next_element_seed(self.seed(seed));
        self.charged(next)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>, M: Mode> MapAccess<'de> for Elements<'_, A, M> {
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

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>, M: Mode> DeserializeSeed<'de> for Capped<'_, S, M> {
    type Value = S::Value;

    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Capped { inner, depth: self.depth })
    }
}

impl<'de, 'a, A: EnumAccess<'de>, M: Mode> EnumAccess<'de> for Capped<'a, A, M> {
    type Error = A::Error;
    type Variant = Capped<'a, A::Variant, M>;

    #[inline(always)]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let depth = self.depth;
        let (value, inner) = self.inner.variant_seed(Capped { inner: seed, depth })?;
        // The variant's number is no value, whatever kind it is read as.
        depth.asks(|asked| asked.kinds.0.truncate(asked.enumeration.1));
        Ok((value, Capped { inner, depth }))
    }
}

impl<'de, A: VariantAccess<'de>, M: Mode> VariantAccess<'de> for Capped<'_, A, M> {
    type Error = A::Error;

    #[inline(always)]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline(always)]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Capped { inner: seed, depth: self.depth })
    }

    deserialize_as! {
        Variant tuple_variant(len: usize),
            asks |asked| asked.groups.push((asked.enumeration.0, &[], len)), has len fields;
        Variant struct_variant(fields: &'static [Name]),
            asks |asked| asked.groups.push((asked.enumeration.0, fields, fields.len()));
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
