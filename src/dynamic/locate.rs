//! Where a field of plain data stands, so that it is read without the rest.

use super::path::{FieldPath, Step};
use crate::schema::{Encoding, Fields, Schema, Type};

/// The place of a field in every payload of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located<'a> {
    /// Bytes from the payload's beginning.
    pub offset: u64,
    /// Its size in bytes.
    pub len: u64,
    /// What it is.
    pub r#type: &'a Type,
}

impl Schema {
    /// Where `path` leads to in plain data. `None` if there is no such field, or if the schema is not one of plain data,
    /// whose fields alone have fixed places.
    ///
    /// Cost: for each step a search among the fields there, and for the last one and each index a look at all types in it.
    /// Nothing is allocated.
    #[must_use]
    pub fn locate(&self, path: &FieldPath) -> Option<Located<'_>> {
        if self.encoding() != Encoding::Pod {
            return None;
        }
        let (mut described, mut offset) = (self.root().bare(), 0_u64);
        for passed in path.steps() {
            let (further, inner) = step(described, passed)?;
            offset = offset.checked_add(further)?;
            described = inner.bare();
        }
        Some(Located { offset, len: described.size()?, r#type: described })
    }
}

impl Schema {
    /// Whether some state has a value where `path` leads to. Others may lack it: those with another variant, with nothing
    /// in an option, with a shorter list, without that key.
    ///
    /// Cost: for each step a search among the fields and variants there. Nothing is allocated.
    #[must_use]
    pub fn may_have(&self, path: &FieldPath) -> bool {
        may_have(self.root(), path.steps())
    }
}

/// Goes at most as deep as types nest, which is limited.
fn may_have(described: &Type, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match (described, step) {
        (Type::Option(inner), _) => may_have(inner, steps),
        (Type::Bytes, Step::Index(_)) => rest.is_empty(),
        (Type::Sequence(element), Step::Index(_)) => may_have(element, rest),
        (Type::Array { len, element }, Step::Index(index)) => {
            u64::try_from(*index).is_ok_and(|index| index < *len) && may_have(element, rest)
        }
        (Type::Map { value, .. }, Step::Name(_)) => may_have(value, rest),
        (Type::Struct { fields, .. }, _) => fields_may_have(fields, steps),
        (Type::Enum { variants, .. }, Step::Name(name)) => {
            // A variant that holds nothing is a text and no object.
            let named = variants.iter().filter(|variant| variant.name == *name);
            named
                .filter(|variant| variant.fields != Fields::Unit)
                .any(|variant| fields_may_have(&variant.fields, rest))
        }
        _ => false,
    }
}

fn fields_may_have(fields: &Fields, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match (fields, step) {
        (Fields::Newtype(inner), _) => may_have(inner, steps),
        (Fields::Tuple(fields), Step::Index(index)) => {
            fields.get(*index).is_some_and(|field| may_have(&field.value, rest))
        }
        // Of fields of the same name, values have the last.
        (Fields::Named(fields), Step::Name(name)) => {
            fields.iter().rfind(|field| field.name == *name).is_some_and(|field| may_have(&field.value, rest))
        }
        _ => false,
    }
}

/// The type that one step leads to, and where it begins.
fn step<'a>(described: &'a Type, passed: &Step) -> Option<(u64, &'a Type)> {
    match (described, passed) {
        (Type::Array { len, element }, Step::Index(index)) => {
            let index = u64::try_from(*index).ok().filter(|index| index < len)?;
            Some((index.checked_mul(element.size()?)?, element))
        }
        (Type::Struct { fields: Fields::Tuple(fields), .. }, Step::Index(index)) => {
            fields.get(*index).map(|field| (field.offset, &field.value))
        }
        (Type::Struct { fields: Fields::Named(fields), .. }, Step::Name(name)) => {
            let field = fields.iter().rfind(|field| field.name == *name)?;
            Some((field.offset, &field.value))
        }
        _ => None,
    }
}
