//! Payloads that a schema describes: Postcard and plain data.

use serde_json::{Map, Value};

use super::error::{DecodeError, MAX_LEVELS};
use super::value::{self, Budget};
use crate::schema::{Cursor, Encoding, Fault, Field, Fields, Scalar, Type, Variant};

const SHORT: &str = "the payload ends before the value does";

/// The value of a whole payload in Postcard.
pub(super) fn postcard(root: &Type, payload: &[u8]) -> Result<Value, DecodeError> {
    let mut walk = Walk::new(Encoding::Postcard, root, payload);
    let value = walk.value(root, MAX_LEVELS)?;
    match walk.cursor.left() {
        0 => Ok(value),
        bytes => Err(DecodeError::Left { bytes }),
    }
}

/// The value of a whole payload of plain data.
pub(super) fn plain(root: &Type, payload: &[u8]) -> Result<Value, DecodeError> {
    let Some(size) = root.size().and_then(|size| usize::try_from(size).ok()) else {
        return Err(DecodeError::Payload { at: 0, reason: "the schema is not of plain data".into() });
    };
    if size < payload.len() {
        return Err(DecodeError::Left { bytes: payload.len() - size });
    }
    let value = Walk::new(Encoding::Pod, root, payload).value(root, MAX_LEVELS)?;
    // Values of no bytes can be decoded at any offset, even beyond the end of the payload. A
    // payload that is too short is refused all the same: every field has its offset inside the
    // payload.
    match size > payload.len() {
        true => Err(DecodeError::Payload { at: payload.len(), reason: SHORT.into() }),
        false => Ok(value),
    }
}

/// Each value begins at the cursor, and leaves the cursor at its end. So an element of an array
/// ends where the next begins, and no size has to be computed.
struct Walk<'a> {
    encoding: Encoding,
    cursor: Cursor<'a>,
    budget: Budget,
}

impl<'a> Walk<'a> {
    fn new(encoding: Encoding, root: &Type, payload: &'a [u8]) -> Walk<'a> {
        Walk { encoding, cursor: Cursor::new(payload), budget: Budget::new(root, payload.len()) }
    }

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
    fn value(&mut self, node: &Type, levels: u32) -> Result<Value, DecodeError> {
        let levels = levels.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.budget.value()?;
        match node {
            Type::Scalar(scalar) => self.scalar(*scalar),
            Type::String => self.text().map(|text| Value::String(text.into())),
            Type::Bytes => self.bytes(),
            Type::Unit => Ok(Value::Null),
            Type::Schema => self.wrong(0, "cannot decode a schema as a value"),
            Type::Option(inner) => match self.step(Cursor::byte)? {
                0 => Ok(Value::Null),
                1 => self.value(inner, levels),
                _ => self.wrong(1, "an option begins with 0 or 1"),
            },
            Type::Sequence(element) => {
                let len = self.step(Cursor::number)?;
                self.list(len, element, levels)
            }
            Type::Array { len, element } => self.list(*len, element, levels),
            Type::Map { key, value } => self.map(key, value, levels),
            Type::Struct { fields, .. } => self.fields(fields, levels),
            Type::Enum { variants, .. } => self.variant(variants, levels),
        }
    }

    fn list(&mut self, len: u64, element: &Type, levels: u32) -> Result<Value, DecodeError> {
        let mut list = Vec::with_capacity(self.budget.list(len)?);
        for _ in 0..len {
            list.push(self.value(element, levels)?);
        }
        Ok(Value::Array(list))
    }

    fn bytes(&mut self) -> Result<Value, DecodeError> {
        let bytes = self.length_and_bytes()?;
        self.budget.array(bytes.len())?;
        Ok(bytes.iter().copied().map(Value::from).collect())
    }

    fn map(&mut self, key: &Type, value: &Type, levels: u32) -> Result<Value, DecodeError> {
        let len = self.step(Cursor::number)?;
        let mut members = Map::with_capacity(self.budget.map(len)?);
        for _ in 0..len {
            let at = self.cursor.at();
            let key = self.value(key, levels)?;
            let key = value::key(key).map_err(|reason| DecodeError::Payload { at, reason })?;
            self.budget.key(&key)?;
            members.insert(key, self.value(value, levels)?);
        }
        Ok(Value::Object(members))
    }

    fn fields(&mut self, fields: &Fields, levels: u32) -> Result<Value, DecodeError> {
        match fields {
            Fields::Unit => Ok(Value::Null),
            Fields::Newtype(inner) => self.value(inner, levels),
            Fields::Tuple(fields) => {
                self.budget.array(fields.len())?;
                let mut list = Vec::with_capacity(fields.len());
                self.each_field(fields, levels, |_, _, value| {
                    list.push(value);
                    Ok(())
                })?;
                Ok(Value::Array(list))
            }
            Fields::Named(fields) => {
                self.budget.object(fields.len())?;
                let mut members = Map::with_capacity(fields.len());
                self.each_field(fields, levels, |budget, name, value| {
                    members.insert(budget.text(name)?, value);
                    Ok(())
                })?;
                Ok(Value::Object(members))
            }
        }
    }

    /// Fields follow one another in Postcard, and are at their offsets in plain data, in any order.
    fn each_field(
        &mut self,
        fields: &[Field],
        levels: u32,
        mut keep: impl FnMut(&mut Budget, &str, Value) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let begin = self.cursor.at();
        let mut end = begin;
        for Field { name, offset, value } in fields {
            if self.encoding == Encoding::Pod {
                self.cursor.seek(begin, *offset);
            }
            let value = self.value(value, levels)?;
            keep(&mut self.budget, name, value)?;
            end = end.max(self.cursor.at());
        }
        self.cursor.seek(end, 0);
        Ok(())
    }

    fn variant(&mut self, variants: &[Variant], levels: u32) -> Result<Value, DecodeError> {
        let before = self.cursor.at();
        let index = self.step(|cursor| cursor.varint(u32::BITS))?;
        let Some(variant) = usize::try_from(index).ok().and_then(|index| variants.get(index)) else {
            let reason = format!("the enum has no variant {index}, only {}", variants.len());
            return Err(DecodeError::Payload { at: before, reason });
        };
        if matches!(variant.fields, Fields::Unit) {
            return self.budget.text(&variant.name).map(Value::String);
        }
        self.budget.value()?;
        let contents = self.fields(&variant.fields, levels)?;
        self.budget.object(1)?;
        let mut members = Map::with_capacity(1);
        members.insert(self.budget.text(&variant.name)?, contents);
        Ok(Value::Object(members))
    }

    /// Postcard has encodings of its own for characters and numbers of more than 8 bits.
    fn scalar(&mut self, scalar: Scalar) -> Result<Value, DecodeError> {
        let bits = u32::try_from(scalar.size() * 8).unwrap_or(u32::MAX);
        match scalar {
            scalar if self.encoding == Encoding::Pod => self.fixed(scalar),
            Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U128 => {
                self.step(|cursor| cursor.varint(bits)).map(value::unsigned)
            }
            Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => {
                let zigzag = self.step(|cursor| cursor.varint(bits))?;
                // The lowest bit is set in negative numbers: 0, -1, 1, -2, …
                Ok(value::signed((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()))
            }
            Scalar::Char => {
                let text = self.text()?;
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(_), None) => Ok(Value::String(text.into())),
                    _ => self.wrong(text.len(), "a char is one character"),
                }
            }
            scalar => self.fixed(scalar),
        }
    }

    /// A scalar that takes its size in bytes, the low byte first.
    fn fixed(&mut self, scalar: Scalar) -> Result<Value, DecodeError> {
        let size = usize::try_from(scalar.size()).unwrap_or(usize::MAX);
        let taken = self.step(|cursor| cursor.take(size))?;
        let mut bytes = [0; 16];
        bytes[..size].copy_from_slice(taken);
        let number = u128::from_le_bytes(bytes);
        let low = u32::try_from(number).unwrap_or(0);
        match scalar {
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U128 => {
                Ok(value::unsigned(number))
            }
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => {
                // Moves the sign to the highest of 128 bits and back.
                let unused = 8 * (bytes.len() - size);
                Ok(value::signed((number << unused).cast_signed() >> unused))
            }
            Scalar::F32 => Ok(value::float(f32::from_bits(low).into())),
            Scalar::F64 => Ok(value::float(f64::from_bits(u64::try_from(number).unwrap_or(0)))),
            Scalar::Bool => match number {
                0 => Ok(Value::Bool(false)),
                1 => Ok(Value::Bool(true)),
                _ => self.wrong(size, "a bool is 0 or 1"),
            },
            Scalar::Char => match char::from_u32(low) {
                Some(character) => Ok(Value::String(character.into())),
                None => self.wrong(size, "this number is not that of a character"),
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
