//! Payloads that a schema describes: Postcard and plain data.

use std::fmt::Display;
use std::slice::Iter;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{DecodeError, MAX_LEVELS};
use super::value::Budget;
use crate::schema::{Cursor, Encoding, Fault, Field, Fields, Scalar, Type, Variant};

const SHORT: &str = "the payload ends before the value does";

/// What `seed` makes of a whole payload.
pub(super) fn decode<'a, S: DeserializeSeed<'a>>(
    encoding: Encoding,
    root: &Type,
    payload: &'a [u8],
    budget: &Budget,
    seed: S,
) -> Result<S::Value, DecodeError> {
    let size = match encoding {
        Encoding::Postcard => None,
        Encoding::Pod => Some(plain_size(root, payload)?),
    };
    let mut walk = Walk { encoding, cursor: Cursor::new(payload), budget };
    let decoded = seed.deserialize(Node { walk: &mut walk, part: Part::Value(root), levels: MAX_LEVELS });
    let value = decoded.map_err(|failure| failure.at(0))?;
    match size {
        // Values of no bytes can be decoded at any offset, even beyond the end of the payload. A
        // payload that is too short is refused all the same: every field has its offset inside the
        // payload.
        Some(size) if size > payload.len() => {
            Err(DecodeError::Payload { at: payload.len(), reason: SHORT.into() })
        }
        None if walk.cursor.left() > 0 => Err(DecodeError::Left { bytes: walk.cursor.left() }),
        _ => Ok(value),
    }
}

/// The size of a type of plain data.
fn plain_size(root: &Type, payload: &[u8]) -> Result<usize, DecodeError> {
    let Some(size) = root.size().and_then(|size| usize::try_from(size).ok()) else {
        return Err(DecodeError::Payload { at: 0, reason: "the schema is not of plain data".into() });
    };
    match payload.len().checked_sub(size) {
        None | Some(0) => Ok(size),
        Some(bytes) => Err(DecodeError::Left { bytes }),
    }
}

/// An error inside of a value.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A visitor refuses a value.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The error, of a value at this offset if a visitor refused it.
    fn at(self, at: usize) -> DecodeError {
        match self {
            Failure::Decode(error) => error,
            Failure::Refused(reason) => DecodeError::Payload { at, reason },
        }
    }
}

impl de::Error for Failure {
    fn custom<T: Display>(reason: T) -> Failure {
        Failure::Refused(reason.to_string())
    }
}

/// Each value begins at the cursor, and leaves the cursor at its end. So an element of an array
/// ends where the next begins, and no size has to be computed.
struct Walk<'a, 'b> {
    encoding: Encoding,
    cursor: Cursor<'a>,
    budget: &'b Budget,
}

/// A value that is to be decoded.
struct Node<'w, 'a, 'b> {
    walk: &'w mut Walk<'a, 'b>,
    part: Part<'w>,
    levels: u32,
}

#[derive(Clone, Copy)]
enum Part<'w> {
    Value(&'w Type),
    /// The fields of a variant.
    Contents(&'w Fields),
}

impl<'de> Deserializer<'de> for Node<'_, 'de, '_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let at = self.walk.cursor.at();
        let visited = match self.part {
            Part::Value(node) => self.walk.value(node, self.levels, visitor),
            Part::Contents(fields) => self.walk.fields(fields, self.levels, visitor),
        };
        visited.map_err(|failure| Failure::Decode(failure.at(at)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl<'a> Walk<'a, '_> {
    fn step<V>(&mut self, step: impl FnOnce(&mut Cursor<'a>) -> Result<V, Fault>) -> Result<V, DecodeError> {
        let at = self.cursor.at();
        step(&mut self.cursor).map_err(|fault| DecodeError::Payload {
            at,
            reason: match fault {
                Fault::Short => SHORT.into(),
                Fault::Overlong => "a number has more bits than its type".into(),
            },
        })
    }

    /// An error in the `len` bytes before the cursor.
    fn wrong<V>(&self, len: usize, reason: &str) -> Result<V, DecodeError> {
        Err(DecodeError::Payload { at: self.cursor.at() - len, reason: reason.into() })
    }

    /// A value of at most `levels` levels. The types of plain data are scalars, units, arrays and
    /// structs: no other type has a [`Type::size`].
    fn value<V: Visitor<'a>>(&mut self, node: &Type, levels: u32, visitor: V) -> Result<V::Value, Failure> {
        let levels = levels.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.budget.value()?;
        match node {
            Type::Scalar(scalar) => self.scalar(*scalar, visitor),
            Type::String => visitor.visit_borrowed_str(self.text()?),
            Type::Bytes => {
                let bytes = self.length_and_bytes()?;
                self.budget.array(bytes.len())?;
                visitor.visit_borrowed_bytes(bytes)
            }
            Type::Unit => visitor.visit_unit(),
            Type::Schema => Ok(self.wrong(0, "cannot decode a schema as a value")?),
            Type::Option(inner) => match self.step(Cursor::byte)? {
                0 => visitor.visit_unit(),
                1 => self.value(inner, levels, visitor),
                _ => Ok(self.wrong(1, "an option begins with 0 or 1")?),
            },
            Type::Sequence(element) => {
                let len = self.step(Cursor::number)?;
                self.list(len, element, levels, visitor)
            }
            Type::Array { len, element } => self.list(*len, element, levels, visitor),
            Type::Map { key, value } => {
                let left = self.step(Cursor::number)?;
                self.budget.map(left)?;
                let mut entries = Entries { walk: self, key, value, left, levels };
                let visited = visitor.visit_map(&mut entries)?;
                all_visited(entries.left).map(|()| visited)
            }
            Type::Struct { fields, .. } => self.fields(fields, levels, visitor),
            Type::Enum { variants, .. } => self.variant(variants, levels, visitor),
        }
    }

    fn list<V: Visitor<'a>>(
        &mut self,
        left: u64,
        element: &Type,
        levels: u32,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.budget.list(left)?;
        let mut elements = Entries { walk: self, key: element, value: element, left, levels };
        let visited = visitor.visit_seq(&mut elements)?;
        all_visited(elements.left).map(|()| visited)
    }

    fn fields<V: Visitor<'a>>(
        &mut self,
        fields: &Fields,
        levels: u32,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let (named, fields) = match fields {
            Fields::Unit => return visitor.visit_unit(),
            Fields::Newtype(inner) => return self.value(inner, levels, visitor),
            Fields::Tuple(fields) => (false, fields),
            Fields::Named(fields) => (true, fields),
        };
        match named {
            true => self.budget.object(fields.len())?,
            false => self.budget.array(fields.len())?,
        }
        let begin = self.cursor.at();
        let mut members = Members { walk: self, fields: fields.iter(), begin, end: begin, levels };
        let visited = match named {
            true => visitor.visit_map(&mut members)?,
            false => visitor.visit_seq(&mut members)?,
        };
        all_visited(members.fields.len() as u64)?;
        let end = members.end;
        self.cursor.seek(end, 0);
        Ok(visited)
    }

    /// A variant is its name, or a map with its name as the only key.
    fn variant<V: Visitor<'a>>(
        &mut self,
        variants: &[Variant],
        levels: u32,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let before = self.cursor.at();
        let index = self.step(|cursor| cursor.varint(u32::BITS))?;
        let Some(variant) = usize::try_from(index).ok().and_then(|index| variants.get(index)) else {
            let reason = format!("the enum has no variant {index}, only {}", variants.len());
            return Err(DecodeError::Payload { at: before, reason }.into());
        };
        self.budget.text(&variant.name)?;
        if matches!(variant.fields, Fields::Unit) {
            return visitor.visit_str(&variant.name);
        }
        self.budget.value()?;
        self.budget.object(1)?;
        let mut chosen = Chosen { walk: self, variant: Some(variant), levels };
        let visited = visitor.visit_map(&mut chosen)?;
        all_visited(chosen.variant.map_or(0, |_| 1)).map(|()| visited)
    }

    /// Postcard has encodings of its own for characters and numbers of more than 8 bits.
    fn scalar<V: Visitor<'a>>(&mut self, scalar: Scalar, visitor: V) -> Result<V::Value, Failure> {
        let bits = u32::try_from(scalar.size() * 8).unwrap_or(u32::MAX);
        match scalar {
            scalar if self.encoding == Encoding::Pod => self.fixed(scalar, visitor),
            Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U128 => {
                unsigned(self.step(|cursor| cursor.varint(bits))?, visitor)
            }
            Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => {
                let zigzag = self.step(|cursor| cursor.varint(bits))?;
                // The lowest bit is set in negative numbers: 0, -1, 1, -2, …
                signed((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed(), visitor)
            }
            Scalar::Char => {
                let text = self.text()?;
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(character), None) => visitor.visit_char(character),
                    _ => Ok(self.wrong(text.len(), "a char is one character")?),
                }
            }
            scalar => self.fixed(scalar, visitor),
        }
    }

    /// A scalar that takes its size in bytes, the low byte first.
    fn fixed<V: Visitor<'a>>(&mut self, scalar: Scalar, visitor: V) -> Result<V::Value, Failure> {
        let size = usize::try_from(scalar.size()).unwrap_or(usize::MAX);
        let taken = self.step(|cursor| cursor.take(size))?;
        let mut bytes = [0; 16];
        bytes[..size].copy_from_slice(taken);
        let number = u128::from_le_bytes(bytes);
        let low = u32::try_from(number).unwrap_or(0);
        match scalar {
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U128 => unsigned(number, visitor),
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => {
                // Moves the sign to the highest of 128 bits and back.
                let unused = 8 * (bytes.len() - size);
                signed((number << unused).cast_signed() >> unused, visitor)
            }
            Scalar::F32 => visitor.visit_f32(f32::from_bits(low)),
            Scalar::F64 => visitor.visit_f64(f64::from_bits(u64::try_from(number).unwrap_or(0))),
            Scalar::Bool => match number {
                0 => visitor.visit_bool(false),
                1 => visitor.visit_bool(true),
                _ => Ok(self.wrong(size, "a bool is 0 or 1")?),
            },
            Scalar::Char => match char::from_u32(low) {
                Some(character) => visitor.visit_char(character),
                None => Ok(self.wrong(size, "this number is not that of a character")?),
            },
        }
    }

    fn length_and_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.step(Cursor::number)?;
        self.step(|cursor| cursor.take(usize::try_from(len).unwrap_or(usize::MAX)))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.length_and_bytes()?;
        str::from_utf8(bytes).or_else(|_| self.wrong(bytes.len(), "a text is not UTF-8"))
    }
}

fn unsigned<'a, V: Visitor<'a>>(number: u128, visitor: V) -> Result<V::Value, Failure> {
    match u64::try_from(number) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => visitor.visit_u128(number),
    }
}

fn signed<'a, V: Visitor<'a>>(number: i128, visitor: V) -> Result<V::Value, Failure> {
    match i64::try_from(number) {
        Ok(number) => visitor.visit_i64(number),
        Err(_) => visitor.visit_i128(number),
    }
}

/// A visitor that leaves values leaves the cursor inside of one.
fn all_visited(left: u64) -> Result<(), Failure> {
    match left {
        0 => Ok(()),
        left => Err(de::Error::custom(format_args!("{left} values were not taken"))),
    }
}

/// The entries of a map, or the elements of a list, which have no keys.
struct Entries<'w, 'a, 'b> {
    walk: &'w mut Walk<'a, 'b>,
    key: &'w Type,
    value: &'w Type,
    /// How many are left.
    left: u64,
    levels: u32,
}

impl<'a> SeqAccess<'a> for Entries<'_, 'a, '_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        MapAccess::next_value_seed(self, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

impl<'a> MapAccess<'a> for Entries<'_, 'a, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let at = self.walk.cursor.at();
        let key = Node { walk: &mut *self.walk, part: Part::Value(self.key), levels: self.levels };
        let key = seed.deserialize(key).map_err(|failure| failure.at(at))?;
        // The visitor may have charged for the key's text.
        self.walk.budget.check()?;
        Ok(Some(key))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(Node { walk: &mut *self.walk, part: Part::Value(self.value), levels: self.levels })
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

/// Fields follow one another in Postcard, and are at their offsets in plain data, in any order.
struct Members<'w, 'a, 'b> {
    walk: &'w mut Walk<'a, 'b>,
    fields: Iter<'w, Field>,
    begin: usize,
    end: usize,
    levels: u32,
}

impl<'a> SeqAccess<'a> for Members<'_, 'a, '_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        match self.fields.len() {
            0 => Ok(None),
            _ => MapAccess::next_value_seed(self, seed).map(Some),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

impl<'a> MapAccess<'a> for Members<'_, 'a, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(field) = self.fields.as_slice().first() else { return Ok(None) };
        self.walk.budget.text(&field.name)?;
        seed.deserialize(de::value::StrDeserializer::new(&field.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let field = self.fields.next().ok_or_else(|| -> Failure { de::Error::custom("no field is left") })?;
        if self.walk.encoding == Encoding::Pod {
            self.walk.cursor.seek(self.begin, field.offset);
        }
        let levels = self.levels;
        let value =
            seed.deserialize(Node { walk: &mut *self.walk, part: Part::Value(&field.value), levels })?;
        self.end = self.end.max(self.walk.cursor.at());
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// The variant that an enum has, as a map of one entry.
struct Chosen<'w, 'a, 'b> {
    walk: &'w mut Walk<'a, 'b>,
    /// `None` once it has been visited.
    variant: Option<&'w Variant>,
    levels: u32,
}

impl<'a> MapAccess<'a> for Chosen<'_, 'a, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(variant) = self.variant else { return Ok(None) };
        seed.deserialize(de::value::StrDeserializer::new(&variant.name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let variant =
            self.variant.take().ok_or_else(|| -> Failure { de::Error::custom("no value is left") })?;
        let part = Part::Contents(&variant.fields);
        seed.deserialize(Node { walk: &mut *self.walk, part, levels: self.levels })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(usize::from(self.variant.is_some()))
    }
}
