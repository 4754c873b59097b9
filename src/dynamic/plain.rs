//! Plain data: every value is at its offset.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::ptr;

use serde_json::{Map, Value};

use super::error::{DecodeError, MAX_LEVELS};
use super::value::{self, Budget};
use crate::schema::{Cursor, Fields, Scalar, Type};

const SHORT: &str = "the payload ends before the value does";

/// The value of a whole payload.
pub(super) fn decode(root: &Type, payload: &[u8]) -> Result<Value, DecodeError> {
    let Some(size) = root.size().and_then(|size| usize::try_from(size).ok()) else {
        return Err(DecodeError::Payload { at: 0, reason: "the schema is not of plain data".into() });
    };
    if size < payload.len() {
        return Err(DecodeError::Left { bytes: payload.len() - size });
    }
    let budget = Budget::new(root, payload.len());
    let value = Walk { payload, budget, strides: Strides::of(root) }.value(root, 0, MAX_LEVELS)?;
    // Values of no bytes can be decoded at any offset, even beyond the end of the payload. A
    // payload that is too short is refused all the same: every field has its offset inside the
    // payload.
    match size > payload.len() {
        true => Err(wrong(payload.len() as u64, SHORT)),
        false => Ok(value),
    }
}

struct Walk<'a> {
    payload: &'a [u8],
    budget: Budget,
    strides: Strides<'a>,
}

impl Walk<'_> {
    /// The value at an offset.
    fn value(&mut self, node: &Type, at: u64, levels: u32) -> Result<Value, DecodeError> {
        let levels = levels.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        self.budget.value()?;
        match node {
            Type::Scalar(scalar) => self.scalar(*scalar, at),
            Type::Unit => Ok(Value::Null),
            Type::Array { len, element } => {
                let count = self.budget.list(*len)?;
                let size = self.strides.stride(element);
                let offset = |index: u64| index.checked_mul(size).and_then(|bytes| at.checked_add(bytes));
                let mut list = Vec::with_capacity(count);
                for index in 0..*len {
                    list.push(self.value(element, offset(index).unwrap_or(u64::MAX), levels)?);
                }
                Ok(Value::Array(list))
            }
            Type::Struct { fields, .. } => self.fields(fields, at, levels),
            _ => Err(wrong(at, "this type is not plain data")),
        }
    }

    fn fields(&mut self, fields: &Fields, at: u64, levels: u32) -> Result<Value, DecodeError> {
        match fields {
            Fields::Unit => Ok(Value::Null),
            Fields::Newtype(inner) => self.value(inner, at, levels),
            Fields::Tuple(fields) => {
                self.budget.array(fields.len())?;
                let mut list = Vec::with_capacity(fields.len());
                for field in fields {
                    list.push(self.value(&field.value, at.saturating_add(field.offset), levels)?);
                }
                Ok(Value::Array(list))
            }
            Fields::Named(fields) => {
                self.budget.object(fields.len())?;
                let mut members = Map::with_capacity(fields.len());
                for field in fields {
                    let value = self.value(&field.value, at.saturating_add(field.offset), levels)?;
                    members.insert(self.budget.text(&field.name)?, value);
                }
                Ok(Value::Object(members))
            }
        }
    }

    fn scalar(&self, scalar: Scalar, at: u64) -> Result<Value, DecodeError> {
        let rest = usize::try_from(at).ok().and_then(|at| self.payload.get(at..)).unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        let short = |_| wrong(at, SHORT);
        let mut bytes = || -> Result<[u8; 16], DecodeError> {
            let size = usize::try_from(scalar.size()).unwrap_or(usize::MAX);
            let taken = cursor.take(size).map_err(short)?;
            let mut bytes = [0; 16];
            bytes[..size].copy_from_slice(taken);
            Ok(bytes)
        };
        let number = u128::from_le_bytes(bytes()?);
        // Moves the sign to the highest of 128 bits and back.
        let signed = || {
            let unused = u128::BITS - u32::try_from(scalar.size() * 8).unwrap_or(0);
            value::signed((number << unused).cast_signed() >> unused)
        };
        match scalar {
            Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 | Scalar::U128 => {
                Ok(value::unsigned(number))
            }
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128 => Ok(signed()),
            Scalar::F32 => Ok(value::float(f32::from_bits(low(number)).into())),
            Scalar::F64 => Ok(value::float(f64::from_bits(u64::try_from(number).unwrap_or(0)))),
            Scalar::Bool => match number {
                0 => Ok(Value::Bool(false)),
                1 => Ok(Value::Bool(true)),
                _ => Err(wrong(at, "a bool is 0 or 1")),
            },
            Scalar::Char => match char::from_u32(low(number)) {
                Some(character) => Ok(Value::String(character.into())),
                None => Err(wrong(at, "this number is not that of a character")),
            },
        }
    }
}

fn low(number: u128) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn wrong(at: u64, reason: &str) -> DecodeError {
    DecodeError::Payload { at: usize::try_from(at).unwrap_or(usize::MAX), reason: reason.into() }
}

/// The sizes of the elements of all arrays in a tree, each computed once. [`Type::size`] visits the
/// whole tree of a type at each call.
struct Strides<'a> {
    /// The key is the address of the element's type, which does not move while the tree is
    /// borrowed.
    by_element: HashMap<*const Type, u64>,
    tree: PhantomData<&'a Type>,
}

impl<'a> Strides<'a> {
    /// Cost: visits each type once.
    fn of(root: &'a Type) -> Strides<'a> {
        let mut strides = Strides { by_element: HashMap::new(), tree: PhantomData };
        strides.measure(root);
        strides
    }

    /// The distance from one element of an array to the next in bytes; 0 if the element is not
    /// plain data.
    fn stride(&self, element: &Type) -> u64 {
        self.by_element.get(&ptr::from_ref(element)).copied().unwrap_or(0)
    }

    /// Equals [`Type::size`].
    fn measure(&mut self, node: &Type) -> Option<u64> {
        match node {
            Type::Array { len, element } => {
                let size = self.measure(element)?;
                self.by_element.insert(ptr::from_ref(element), size);
                size.checked_mul(*len)
            }
            Type::Struct { fields: Fields::Newtype(inner), .. } => self.measure(inner),
            Type::Struct { fields: Fields::Tuple(fields) | Fields::Named(fields), .. } => {
                fields.iter().try_fold(0, |largest: u64, field| {
                    let end = field.offset.checked_add(self.measure(&field.value)?)?;
                    Some(end.max(largest))
                })
            }
            leaf => leaf.size(),
        }
    }
}
