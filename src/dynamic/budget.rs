//! What decoding one payload may cost.

use super::DecodeError;
use crate::schema::{Fields, Type};

/// Elements that a payload may have beyond one for each of its bytes, because they take none.
const SPARE: usize = 1024;

/// Values for each element: a byte may be several structs deep.
const VALUES: usize = 8;

/// Most values inside of one another.
pub(super) const MOST_LEVELS: u32 = 128;

/// What is left.
pub(super) struct Budget {
    len: usize,
    elements: usize,
    values: usize,
}

impl Budget {
    /// For a payload of `len` bytes; every type of `root` may have one value in any case.
    pub(super) fn new(root: &Type, len: usize) -> Budget {
        let elements = len.saturating_add(SPARE);
        Budget { len, elements, values: elements.saturating_mul(VALUES).saturating_add(count(root)) }
    }

    /// The elements of a list or map, before there are any.
    pub(super) fn elements(&mut self, count: u64) -> Result<(), DecodeError> {
        let left = usize::try_from(count).ok().and_then(|count| self.elements.checked_sub(count));
        self.elements = left.ok_or(DecodeError::TooManyElements { len: self.len })?;
        Ok(())
    }

    /// One value.
    pub(super) fn value(&mut self) -> Result<(), DecodeError> {
        self.values = self.values.checked_sub(1).ok_or(DecodeError::TooManyElements { len: self.len })?;
        Ok(())
    }
}

/// Types in a tree.
fn count(described: &Type) -> usize {
    let inner = match described {
        Type::Option(inner) | Type::Sequence(inner) | Type::Array { element: inner, .. } => count(inner),
        Type::Map { key, value } => count(key) + count(value),
        Type::Struct { fields, .. } => count_fields(fields),
        Type::Enum { variants, .. } => variants.iter().map(|variant| 1 + count_fields(&variant.fields)).sum(),
        _ => 0,
    };
    1 + inner
}

fn count_fields(fields: &Fields) -> usize {
    match fields {
        Fields::Unit => 0,
        Fields::Newtype(inner) => count(inner),
        Fields::Tuple(fields) | Fields::Named(fields) => fields.iter().map(|field| count(&field.value)).sum(),
    }
}
