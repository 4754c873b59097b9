//! Plans that copy plain data of one layout into another layout with the same fields.

use super::difference::{Difference, DifferenceKind, differences};
use super::tree::{Encoding, Field, Fields, Schema, Type};

/// Bytes that are copied from a payload into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) len: usize,
}

/// The copies that make a value of `reader` from a payload of `channel`: each field of the reader
/// is found by its name. The channel may have more fields, at other offsets.
///
/// # Errors
///
/// The fields that the channel does not have, or has with another type.
pub(crate) fn plan(channel: &Schema, reader: &Schema) -> Result<Vec<Move>, Vec<Difference>> {
    let kind = DifferenceKind::Encoding { channel: channel.encoding, reader: reader.encoding };
    if [channel, reader].iter().any(|schema| schema.encoding != Encoding::Pod) {
        return Err(vec![Difference { path: String::new(), kind }]);
    }
    let mut plan = Plan { moves: Vec::new() };
    let from = Value { node: &channel.root, at: 0 };
    let to = Value { node: &reader.root, at: 0 };
    match plan.value(from, to) {
        Some(()) => Ok(plan.moves),
        None => Err(uncopyable(channel, reader)),
    }
}

/// The reasons for which there is no plan, at least one. Fields that only the channel has are no
/// reason.
fn uncopyable(channel: &Schema, reader: &Schema) -> Vec<Difference> {
    let counts =
        |kind: &DifferenceKind| !matches!(kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. });
    let mut found = differences(channel, reader, counts);
    if found.is_empty() {
        // The schema was not checked: one of its offsets exceeds the address space.
        let (channel, reader) = (channel.root.to_string(), reader.root.to_string());
        found.push(Difference { path: String::new(), kind: DifferenceKind::Type { channel, reader } });
    }
    found
}

/// A value: its type and its offset.
#[derive(Clone, Copy)]
struct Value<'a> {
    node: &'a Type,
    at: u64,
}

impl<'a> Value<'a> {
    fn field(self, field: &'a Field) -> Option<Value<'a>> {
        Some(Value { node: &field.value, at: self.at.checked_add(field.offset)? })
    }
}

/// The elements of an array at the offset `at`.
fn elements(at: u64, element: &Type, len: u64) -> Option<impl Iterator<Item = Option<Value<'_>>>> {
    let stride = element.size()?;
    let nth = move |index: u64| {
        let at = at.checked_add(stride.checked_mul(index)?)?;
        Some(Value { node: element, at })
    };
    Some((0..len).map(nth))
}

struct Plan {
    moves: Vec<Move>,
}

impl Plan {
    /// Plans one value; `None` if it cannot be copied.
    fn value(&mut self, from: Value<'_>, to: Value<'_>) -> Option<()> {
        match (from.node.bare(), to.node.bare()) {
            (same, other) if same == other => self.bytes(from.at, to.at, to.node.size()?),
            (Type::Array { len, element }, Type::Array { len: other, element: wanted }) if len == other => {
                self.elements(*len, [element, wanted], [from.at, to.at])
            }
            (Type::Struct { fields, .. }, Type::Struct { fields: wanted, .. }) => {
                self.fields(fields, wanted, from, to)
            }
            // A tuple of equal types is an array.
            (Type::Array { len, element: found }, Type::Struct { fields: Fields::Tuple(wanted), .. })
                if *len == wanted.len() as u64 =>
            {
                let mut pairs = elements(from.at, found, *len)?.zip(wanted);
                pairs.try_for_each(|(element, wanted)| self.value(element?, to.field(wanted)?))
            }
            (Type::Struct { fields: Fields::Tuple(found), .. }, Type::Array { len, element: wanted })
                if *len == found.len() as u64 =>
            {
                let mut pairs = found.iter().zip(elements(to.at, wanted, *len)?);
                pairs.try_for_each(|(found, element)| self.value(from.field(found)?, element?))
            }
            _ => None,
        }
    }

    /// Plans the elements of two arrays: makes a plan for one element and repeats it.
    fn elements(&mut self, len: u64, elements: [&Type; 2], at: [u64; 2]) -> Option<()> {
        let [from, to] = elements.map(|node| Value { node, at: 0 });
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

    fn fields(&mut self, found: &Fields, wanted: &Fields, from: Value<'_>, to: Value<'_>) -> Option<()> {
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

    /// Adds bytes to the plan; bytes that follow those of the last move extend it.
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
    use crate::schema::tree::Scalar;

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
        let texts: Vec<_> = plan(&channel, &reader).unwrap_err().iter().map(ToString::to_string).collect();
        let expected =
            ["b: u64 in the channel, u32 in the reader", "c: missing in the channel, u64 in the reader"];
        assert_eq!(texts, expected);
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
    fn what_is_wrong_is_reported_after_many_added_fields() {
        let names: Vec<String> = (0..200).map(|index| format!("f{index}")).collect();
        let mut fields: Vec<_> = names.iter().map(|name| (name.as_str(), 0, U32)).collect();
        fields.push(("a", 0, U32));
        let reasons = plan(&plain(&fields), &plain(&[("a", 0, U64)])).unwrap_err();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
    }

    /// Plain data of any shape, with any offsets that keep the size small.
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

    /// An equivalent type. `turns` choose where an array becomes a tuple, a name changes, a newtype
    /// is added, and where a number becomes another number, which is the only real difference.
    fn rewritten(node: &Type, turns: &mut impl Iterator<Item = u8>) -> Type {
        let turn = turns.next().unwrap_or(0);
        let fields = |fields: &[Field], turns: &mut _| {
            let field = |field: &Field| Field { value: rewritten(&field.value, turns), ..field.clone() };
            fields.iter().map(field).collect()
        };
        match node {
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
                let missing = differences(&channel, &reader, |kind| {
                    !matches!(kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. })
                });
                prop_assert_eq!(missing.is_empty(), plan(&channel, &reader).is_ok());
            }
        }
    }
}
