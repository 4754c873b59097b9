//! Differences and plans, compared with an oracle that copies byte by byte.

use std::collections::BTreeSet;

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
fn arrays_in_an_array_are_mapped_each_whatever_precedes_them() {
    let grid = |len, number| array(len, array(2, number));
    let wrapped = Type::Struct { name: "W".into(), fields: Fields::Newtype(Box::new(U32)) };
    for len in [0, 1, 3] {
        let channel = plain(&[("a", 4, U32), ("grid", 8, grid(len, U32))]);
        let reader = plain(&[("a", 4, wrapped.clone()), ("grid", 8, grid(len, wrapped.clone()))]);
        let all = Move { from: 4, to: 4, len: 4 + 8 * usize::try_from(len).unwrap() };
        assert_eq!(plan(&channel, &reader), Ok(vec![all]), "{len} arrays");
    }
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
        Type::Struct { fields: Fields::Unit, .. } => Type::Struct { name: "V".into(), fields: Fields::Unit },
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

/// The oracle: for each byte that a plan copies, where it comes from and where it goes; without
/// a plan for one element, joining or an order.
fn bytes([channel, reader]: Both<&Type>, [from, to]: Both<u64>, pairs: &mut BTreeSet<(u64, u64)>) {
    let place = |base: u64, (offset, node): (u64, &Type)| (base + offset, node.clone());
    let parts = |node: &Type| -> Vec<(u64, Type)> {
        match node {
            Type::Array { len, element } => {
                let stride = element.size().unwrap();
                (0..*len).map(|index| (index * stride, (**element).clone())).collect()
            }
            Type::Struct { fields: Fields::Tuple(fields), .. } => {
                fields.iter().map(|field| (field.offset, field.value.clone())).collect()
            }
            _ => vec![],
        }
    };
    match (channel.bare(), reader.bare()) {
        (same, other) if same == other => {
            pairs.extend((0..same.size().unwrap()).map(|byte| (from + byte, to + byte)));
        }
        (
            Type::Struct { fields: Fields::Named(channel), .. },
            Type::Struct { fields: Fields::Named(reader), .. },
        ) => {
            for wanted in reader {
                let found = channel.iter().find(|found| found.name == wanted.name).unwrap();
                let (from, node) = place(from, (found.offset, &found.value));
                bytes([&node, &wanted.value], [from, to + wanted.offset], pairs);
            }
        }
        (channel, reader) => {
            for (channel, reader) in parts(channel).into_iter().zip(parts(reader)) {
                bytes([&channel.1, &reader.1], [from + channel.0, to + reader.0], pairs);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

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
                    let copied = moves.iter().flat_map(|one| {
                        let (from, to) = (one.from as u64, one.to as u64);
                        (0..one.len as u64).map(move |byte| (from + byte, to + byte))
                    });
                    let mut expected = BTreeSet::new();
                    bytes([&channel.root, &reader.root], [0; 2], &mut expected);
                    prop_assert_eq!(copied.collect::<BTreeSet<_>>(), expected);
                }
                Err(reasons) => prop_assert!(!reasons.is_empty()),
            }
            if channel.differences(&reader).is_empty() {
                prop_assert!(plan(&channel, &reader).is_ok(), "{} {}", channel, reader);
            }
            let mut missing = channel.differences(&reader);
            missing.retain(|it| {
                !matches!(it.kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. })
            });
            prop_assert_eq!(missing.is_empty(), plan(&channel, &reader).is_ok());
        }
    }
}
