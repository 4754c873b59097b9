//! How plain data of one layout becomes plain data of another one with the same fields.

use super::{Difference, DifferenceKind, Encoding, Field, Fields, Schema, Type};

/// Bytes that are copied from a payload into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) len: usize,
}

/// What to copy from a payload of `channel` so that there is a value of `reader`: every field of the reader's by its
/// name. The channel may have more fields, and have them elsewhere.
///
/// # Errors
///
/// The fields for which there is nothing to copy, or something of another type.
pub(crate) fn plan(channel: &Schema, reader: &Schema) -> Result<Vec<Move>, Vec<Difference>> {
    let kind = DifferenceKind::Encoding { channel: channel.encoding(), reader: reader.encoding() };
    if [channel, reader].iter().any(|schema| schema.encoding() != Encoding::Pod) {
        return Err(vec![Difference { path: String::new(), kind }]);
    }
    let mut plan = Plan { moves: Vec::new() };
    let from = Place { described: channel.root(), at: 0 };
    let to = Place { described: reader.root(), at: 0 };
    // A field that can't be copied is a difference; those that the channel has beside are not.
    match plan.value(from, to) {
        Some(()) => Ok(plan.moves),
        None => {
            let mut differences = channel.differences(reader);
            differences.retain(|difference| {
                !matches!(difference.kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. })
            });
            Err(differences)
        }
    }
}

/// A type and where its value begins.
#[derive(Clone, Copy)]
struct Place<'a> {
    described: &'a Type,
    at: u64,
}

impl<'a> Place<'a> {
    fn field(self, field: &'a Field) -> Option<Place<'a>> {
        Some(Place { described: &field.value, at: self.at.checked_add(field.offset)? })
    }

    fn element(self, element: &'a Type, index: u64) -> Option<Place<'a>> {
        let further = element.size()?.checked_mul(index)?;
        Some(Place { described: element, at: self.at.checked_add(further)? })
    }
}

struct Plan {
    moves: Vec<Move>,
}

impl Plan {
    /// `None` if there is no way.
    fn value(&mut self, from: Place<'_>, to: Place<'_>) -> Option<()> {
        match (from.described.bare(), to.described.bare()) {
            (same, other) if same == other => self.bytes(from.at, to.at, to.described.size()?),
            (Type::Array { len, element }, Type::Array { len: other, element: wanted }) if len == other => (0
                ..*len)
                .try_for_each(|index| self.value(from.element(element, index)?, to.element(wanted, index)?)),
            (Type::Struct { fields, .. }, Type::Struct { fields: wanted, .. }) => {
                self.fields(fields, wanted, from, to)
            }
            _ => None,
        }
    }

    fn fields(&mut self, found: &Fields, wanted: &Fields, from: Place<'_>, to: Place<'_>) -> Option<()> {
        match (found, wanted) {
            (Fields::Tuple(found), Fields::Tuple(wanted)) if found.len() == wanted.len() => {
                let mut pairs = found.iter().zip(wanted);
                pairs.try_for_each(|(found, wanted)| self.value(from.field(found)?, to.field(wanted)?))
            }
            (Fields::Named(found), Fields::Named(wanted)) => wanted.iter().try_for_each(|wanted| {
                let found = found.iter().find(|found| found.name == wanted.name)?;
                self.value(from.field(found)?, to.field(wanted)?)
            }),
            _ => None,
        }
    }

    /// Bytes behind those of the last move are part of it.
    fn bytes(&mut self, from: u64, to: u64, len: u64) -> Option<()> {
        let number = |value| usize::try_from(value).ok();
        let (from, to, len) = (number(from)?, number(to)?, number(len)?);
        match self.moves.last_mut() {
            Some(last) if last.from + last.len == from && last.to + last.len == to => last.len += len,
            _ => self.moves.push(Move { from, to, len }),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Scalar;

    fn plain(fields: &[(&str, u64, Type)]) -> Schema {
        let field = |(name, offset, value): &(&str, u64, Type)| Field {
            name: (*name).into(),
            offset: *offset,
            value: value.clone(),
        };
        let fields = Fields::Named(fields.iter().map(field).collect());
        Schema { encoding: Encoding::Pod, root: Type::Struct { name: "S".into(), fields } }
    }

    const U64: Type = Type::Scalar(Scalar::U64);
    const U32: Type = Type::Scalar(Scalar::U32);

    #[test]
    fn the_same_layout_is_one_move() {
        let schema = plain(&[("a", 0, U64), ("b", 8, U32), ("c", 12, U32)]);
        assert_eq!(plan(&schema, &schema), Ok(vec![Move { from: 0, to: 0, len: 16 }]));
    }

    #[test]
    fn fields_are_found_by_name() {
        let channel = plain(&[("a", 0, U64), ("new", 8, U64), ("b", 16, U32), ("c", 20, U32)]);
        let reader = plain(&[("b", 0, U32), ("c", 4, U32), ("a", 8, U64)]);
        let moves = vec![Move { from: 16, to: 0, len: 8 }, Move { from: 0, to: 8, len: 8 }];
        assert_eq!(plan(&channel, &reader), Ok(moves));
    }

    #[test]
    fn elements_are_mapped_each() {
        let list = |schema: Schema| Type::Array { len: 2, element: Box::new(schema.root) };
        let channel = plain(&[("l", 0, list(plain(&[("x", 0, U32), ("y", 4, U32)])))]);
        let reader = plain(&[("l", 0, list(plain(&[("y", 0, U32)])))]);
        let moves = vec![Move { from: 4, to: 0, len: 4 }, Move { from: 12, to: 4, len: 4 }];
        assert_eq!(plan(&channel, &reader), Ok(moves));
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        let channel = plain(&[("a", 0, U64), ("b", 8, U64)]);
        let reader = plain(&[("b", 0, U32), ("a", 8, U64), ("c", 16, U64)]);
        let told: Vec<_> = plan(&channel, &reader).unwrap_err().iter().map(ToString::to_string).collect();
        let expected =
            ["b: u64 in the channel, u32 in the reader", "c: missing in the channel, u64 in the reader"];
        assert_eq!(told, expected);
    }
}
