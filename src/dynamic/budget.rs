//! What decoding one payload may cost.

use serde_json::Value;

use super::DecodeError;
use crate::schema::{Fields, Type};

/// Elements that a payload may have beyond one for each of its bytes, because they take none.
const SPARE: usize = 1024;

/// Values for each element: a byte may be several structs deep.
const VALUES: usize = 8;

/// Bytes of memory for each element.
pub(super) const MEMORY: usize = 1024;

/// Most values inside of one another.
pub(super) const MAX_LEVELS: u32 = 128;

/// What one allocation takes beside its bytes.
const ALLOCATION: usize = 32;

/// What a value takes in an array.
const ELEMENT: usize = size_of::<Value>();

/// What a value takes in an object, without its name's bytes: with the name, its hash and its place in the table.
const MEMBER: usize = ELEMENT + size_of::<String>() + size_of::<u64>() + 24 + ALLOCATION;

/// What an array or an object takes without what is in it.
const CONTAINER: usize = 64 + 2 * ALLOCATION;

/// What is left.
pub(super) struct Budget {
    len: usize,
    elements: usize,
    values: usize,
    memory: usize,
}

impl Budget {
    /// For a payload of `len` bytes; every type of `root` may have one value in any case.
    pub(super) fn new(root: &Type, len: usize) -> Budget {
        let (elements, types) = (len.saturating_add(SPARE), count(root));
        let once = types.values * (MEMBER + CONTAINER) + types.name_bytes;
        Budget {
            len,
            elements,
            values: elements.saturating_mul(VALUES).saturating_add(types.values),
            memory: elements.saturating_mul(MEMORY).saturating_add(once),
        }
    }

    /// The elements of a list, before there are any: how many to reserve.
    pub(super) fn list(&mut self, count: u64) -> Result<usize, DecodeError> {
        let count = self.elements(count)?;
        self.array(count)?;
        Ok(count)
    }

    /// The entries of a map, before there are any: how many to reserve.
    pub(super) fn map(&mut self, count: u64) -> Result<usize, DecodeError> {
        let count = self.elements(count)?;
        self.object(count)?;
        Ok(count)
    }

    /// An array of so many values.
    pub(super) fn array(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(CONTAINER.saturating_add(count.saturating_mul(ELEMENT)))
    }

    /// An object of so many values, without the bytes of their names.
    pub(super) fn object(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(CONTAINER.saturating_add(count.saturating_mul(MEMBER)))
    }

    /// A text that does not stand in the payload, such as the name of a field.
    pub(super) fn text(&mut self, text: &str) -> Result<String, DecodeError> {
        self.key(text)?;
        Ok(text.into())
    }

    /// A map's key, which may be longer than what it was made of.
    pub(super) fn key(&mut self, key: &str) -> Result<(), DecodeError> {
        self.take(key.len() + ALLOCATION)
    }

    /// One value.
    pub(super) fn value(&mut self) -> Result<(), DecodeError> {
        self.values = self.values.checked_sub(1).ok_or(DecodeError::TooManyElements { len: self.len })?;
        Ok(())
    }

    fn elements(&mut self, count: u64) -> Result<usize, DecodeError> {
        let too_many = DecodeError::TooManyElements { len: self.len };
        let Ok(count) = usize::try_from(count) else { return Err(too_many) };
        self.elements = self.elements.checked_sub(count).ok_or(too_many)?;
        Ok(count)
    }

    fn take(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(DecodeError::TooLarge { len: self.len })?;
        Ok(())
    }
}

/// What there is in a tree of types.
#[derive(Clone, Copy, Default)]
struct Types {
    values: usize,
    name_bytes: usize,
}

impl Types {
    fn and(self, other: Types) -> Types {
        Types { values: self.values + other.values, name_bytes: self.name_bytes + other.name_bytes }
    }

    fn named(self, name: &str) -> Types {
        Types { name_bytes: self.name_bytes + name.len(), ..self }
    }
}

fn count(described: &Type) -> Types {
    let inner = match described {
        Type::Option(inner) | Type::Sequence(inner) | Type::Array { element: inner, .. } => count(inner),
        Type::Map { key, value } => count(key).and(count(value)),
        Type::Struct { fields, .. } => count_fields(fields),
        Type::Enum { variants, .. } => variants.iter().fold(Types::default(), |sum, variant| {
            let one = Types { values: sum.values + 1, ..sum }.named(&variant.name);
            one.and(count_fields(&variant.fields))
        }),
        _ => Types::default(),
    };
    Types { values: inner.values + 1, ..inner }
}

fn count_fields(fields: &Fields) -> Types {
    match fields {
        Fields::Unit => Types::default(),
        Fields::Newtype(inner) => count(inner),
        Fields::Tuple(fields) | Fields::Named(fields) => {
            fields.iter().fold(Types::default(), |sum, field| sum.and(count(&field.value)).named(&field.name))
        }
    }
}
