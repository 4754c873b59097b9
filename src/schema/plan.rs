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
        None => Err(uncopyable(channel, reader)),
    }
}

/// Why there is no plan: one difference at least.
fn uncopyable(channel: &Schema, reader: &Schema) -> Vec<Difference> {
    let counts =
        |kind: &DifferenceKind| !matches!(kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. });
    let mut differences = channel.differences_that(reader, counts);
    if differences.is_empty() {
        // An offset that is beyond any memory, in a schema that was never checked.
        let (channel, reader) = (channel.root().to_string(), reader.root().to_string());
        differences.push(Difference { path: String::new(), kind: DifferenceKind::Type { channel, reader } });
    }
    differences
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
}

/// Where the elements of an array are that begins `at` a byte.
fn places(at: u64, element: &Type, len: u64) -> Option<impl Iterator<Item = Option<Place<'_>>>> {
    let stride = element.size()?;
    let place = move |index: u64| {
        let at = at.checked_add(stride.checked_mul(index)?)?;
        Some(Place { described: element, at })
    };
    Some((0..len).map(place))
}

struct Plan {
    moves: Vec<Move>,
}

impl Plan {
    /// `None` if there is no way.
    fn value(&mut self, from: Place<'_>, to: Place<'_>) -> Option<()> {
        match (from.described.bare(), to.described.bare()) {
            (same, other) if same == other => self.bytes(from.at, to.at, to.described.size()?),
            (Type::Array { len, element }, Type::Array { len: other, element: wanted }) if len == other => {
                self.elements(*len, [element, wanted], [from.at, to.at])
            }
            (Type::Struct { fields, .. }, Type::Struct { fields: wanted, .. }) => {
                self.fields(fields, wanted, from, to)
            }
            // A tuple of equal types is an array.
            (Type::Array { len, element }, Type::Struct { fields: Fields::Tuple(wanted), .. })
                if *len == wanted.len() as u64 =>
            {
                let mut pairs = places(from.at, element, *len)?.zip(wanted);
                pairs.try_for_each(|(place, wanted)| self.value(place?, to.field(wanted)?))
            }
            (Type::Struct { fields: Fields::Tuple(found), .. }, Type::Array { len, element })
                if *len == found.len() as u64 =>
            {
                let mut pairs = found.iter().zip(places(to.at, element, *len)?);
                pairs.try_for_each(|(found, place)| self.value(from.field(found)?, place?))
            }
            _ => None,
        }
    }

    /// The elements of two arrays: one is planned, and the others are as that.
    fn elements(&mut self, len: u64, elements: [&Type; 2], at: [u64; 2]) -> Option<()> {
        let [from, to] = elements.map(|described| Place { described, at: 0 });
        let mut one = Plan { moves: Vec::new() };
        one.value(from, to)?;
        if one.moves.is_empty() {
            return Some(());
        }
        let [stride, wanted_stride] = [elements[0].size()?, elements[1].size()?];
        for index in 0..len {
            let from = at[0].checked_add(stride.checked_mul(index)?)?;
            let to = at[1].checked_add(wanted_stride.checked_mul(index)?)?;
            for Move { from: further, to: wanted_further, len } in &one.moves {
                let from = from.checked_add(*further as u64)?;
                self.bytes(from, to.checked_add(*wanted_further as u64)?, *len as u64)?;
            }
        }
        Some(())
    }

    fn fields(&mut self, found: &Fields, wanted: &Fields, from: Place<'_>, to: Place<'_>) -> Option<()> {
        match (found, wanted) {
            (Fields::Unit, Fields::Unit) => Some(()),
            (Fields::Tuple(found), Fields::Tuple(wanted)) if found.len() == wanted.len() => {
                let mut pairs = found.iter().zip(wanted);
                pairs.try_for_each(|(found, wanted)| self.value(from.field(found)?, to.field(wanted)?))
            }
            (Fields::Named(found), Fields::Named(wanted)) => wanted.iter().try_for_each(|wanted| {
                let found = found.iter().rfind(|found| found.name == wanted.name)?;
                self.value(from.field(found)?, to.field(wanted)?)
            }),
            _ => None,
        }
    }

    /// Bytes behind those of the last move are part of it.
    fn bytes(&mut self, from: u64, to: u64, len: u64) -> Option<()> {
        let number = |value| usize::try_from(value).ok();
        let (from, to, len) = (number(from)?, number(to)?, number(len)?);
        if len == 0 {
            return Some(());
        }
        match self.moves.last_mut() {
            Some(last) if last.from + last.len == from && last.to + last.len == to => last.len += len,
            _ => self.moves.push(Move { from, to, len }),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    fn tuple(fields: impl IntoIterator<Item = (u64, Type)>) -> Type {
        let field = |(offset, value)| Field { name: String::new(), offset, value };
        let fields = Fields::Tuple(fields.into_iter().map(field).collect());
        Type::Struct { name: "T".into(), fields }
    }

    fn array(len: u64, element: Type) -> Type {
        Type::Array { len, element: Box::new(element) }
    }

    #[test]
    fn a_tuple_of_equal_types_is_an_array() {
        let pairs = plain(&[("p", 8, array(2, U64))]);
        let points = plain(&[("p", 0, tuple([(0, U64), (8, U64)]))]);
        assert_eq!(plan(&pairs, &points), Ok(vec![Move { from: 8, to: 0, len: 16 }]));
        let turned = plain(&[("p", 0, tuple([(8, U64), (0, U64)]))]);
        let moves = vec![Move { from: 8, to: 8, len: 8 }, Move { from: 0, to: 16, len: 8 }];
        assert_eq!(plan(&turned, &pairs), Ok(moves));
    }

    #[test]
    fn nothing_is_copied_of_units() {
        let unit = |name: &str| Type::Struct { name: name.into(), fields: Fields::Unit };
        assert_eq!(plan(&plain(&[("u", 0, unit("A"))]), &plain(&[("u", 0, unit("B"))])), Ok(vec![]));
        let many = |name| plain(&[("u", 0, array(u64::MAX, unit(name)))]);
        assert_eq!(plan(&many("A"), &many("B")), Ok(vec![]), "and that takes no time");
    }

    #[test]
    fn what_is_wrong_is_told_behind_many_added_fields() {
        let names: Vec<String> = (0..200).map(|index| format!("f{index}")).collect();
        let mut fields: Vec<_> = names.iter().map(|name| (name.as_str(), 0, U32)).collect();
        fields.push(("a", 0, U32));
        let told = plan(&plain(&fields), &plain(&[("a", 0, U64)])).unwrap_err();
        assert_eq!(told.len(), 1, "{told:?}");
    }

    /// Plain data of any shape; offsets are any that leave the size a small number.
    fn types() -> impl Strategy<Value = Type> {
        let leaf = prop_oneof![Just(U64), Just(U32), Just(Type::Unit), Just(array(2, U32))];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let fields = proptest::collection::vec((0_u64..32, inner.clone()), 0..4);
            prop_oneof![
                (0_u64..4, inner.clone()).prop_map(|(len, element)| array(len, element)),
                inner.prop_map(|inner| Type::Struct {
                    name: "N".into(),
                    fields: Fields::Newtype(Box::new(inner)),
                }),
                fields.clone().prop_map(tuple),
                fields.prop_map(|fields| {
                    let name = |(index, (offset, value))| Field { name: format!("f{index}"), offset, value };
                    let fields = Fields::Named(fields.into_iter().enumerate().map(name).collect());
                    Type::Struct { name: "S".into(), fields }
                }),
                Just(Type::Struct { name: "U".into(), fields: Fields::Unit }),
            ]
        })
    }

    /// The same type, written otherwise: `turns` say where an array becomes a tuple, where a name changes, where a
    /// newtype comes around it, and where a number becomes another one, which alone makes a difference.
    fn rewritten(described: &Type, turns: &mut impl Iterator<Item = u8>) -> Type {
        let turn = turns.next().unwrap_or(0);
        let fields = |fields: &[Field], turns: &mut _| {
            let field = |field: &Field| Field { value: rewritten(&field.value, turns), ..field.clone() };
            fields.iter().map(field).collect()
        };
        match described {
            Type::Scalar(_) if turn == 1 => Type::Scalar(Scalar::I64),
            Type::Array { len, element } if turn > 4 => {
                let stride = element.size().unwrap();
                tuple((0..*len).map(|index| (index * stride, rewritten(element, turns))))
            }
            Type::Array { len, element } => array(*len, rewritten(element, turns)),
            Type::Struct { fields: Fields::Unit, .. } => {
                Type::Struct { name: "V".into(), fields: Fields::Unit }
            }
            Type::Struct { fields: Fields::Newtype(inner), .. } => rewritten(inner, turns),
            Type::Struct { name, fields: Fields::Tuple(found) } => {
                Type::Struct { name: format!("{name}{turn}"), fields: Fields::Tuple(fields(found, turns)) }
            }
            Type::Struct { name, fields: Fields::Named(found) } => {
                Type::Struct { name: format!("{name}{turn}"), fields: Fields::Named(fields(found, turns)) }
            }
            other => Type::Struct { name: "W".into(), fields: Fields::Newtype(Box::new(other.clone())) },
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn there_is_a_plan_or_a_reason(
            root in types(), other in types(), turns in proptest::collection::vec(0_u8..8, 0..30),
        ) {
            let schema = |root| Schema { encoding: Encoding::Pod, root };
            let again = rewritten(&root, &mut turns.into_iter());
            let channel = schema(root);
            for reader in [schema(again), schema(other)] {
                match plan(&channel, &reader) {
                    Ok(moves) => {
                        let size = reader.fixed_len().unwrap();
                        prop_assert!(moves.iter().all(|one| (one.to + one.len) as u64 <= size));
                    }
                    Err(reasons) => prop_assert!(!reasons.is_empty()),
                }
                if channel.differences(&reader).is_empty() {
                    prop_assert!(plan(&channel, &reader).is_ok(), "{} {}", channel, reader);
                }
                let missing = channel.differences_that(&reader, |kind| {
                    !matches!(kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. })
                });
                prop_assert_eq!(missing.is_empty(), plan(&channel, &reader).is_ok());
            }
        }
    }
}
