//! Any Postcard payload of any schema, compared with the crate `postcard-dyn` wherever that crate
//! can decode it.

use postcard_schema::schema::owned::{
    OwnedDataModelType as Theirs, OwnedDataModelVariant as TheirVariant, OwnedNamedType, OwnedNamedValue,
    OwnedNamedVariant,
};
use proptest::prelude::*;

use super::super::{DecodeError, decode};
use crate::schema::{Encoding, Field, Fields, Scalar, Schema, Type, Variant};

/// All types that the crate can decode: no `char`, no tuple of fewer than two values, only string
/// keys.
fn types() -> impl Strategy<Value = Type> {
    let scalars = prop_oneof![
        Just(Scalar::Bool),
        Just(Scalar::U8),
        Just(Scalar::U16),
        Just(Scalar::U32),
        Just(Scalar::U64),
        Just(Scalar::U128),
        Just(Scalar::I8),
        Just(Scalar::I16),
        Just(Scalar::I32),
        Just(Scalar::I64),
        Just(Scalar::I128),
        Just(Scalar::F32),
        Just(Scalar::F64),
    ];
    let leaf = prop_oneof![
        8 => scalars.prop_map(Type::Scalar),
        2 => Just(Type::String),
        1 => Just(Type::Bytes),
        1 => Just(Type::Unit),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let variants = proptest::collection::vec(fields(inner.clone()), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Type::Option(inner.into())),
            // The crate does not limit elements that take no byte.
            inner.clone().prop_map(|inner| Type::Sequence(with_byte(inner).into())),
            inner.clone().prop_map(|inner| Type::Map { key: Type::String.into(), value: inner.into() }),
            (2_u64..4, inner.clone()).prop_map(|(len, inner)| Type::Array { len, element: inner.into() }),
            fields(inner).prop_map(|fields| Type::Struct { name: "S".into(), fields }),
            variants.prop_map(|variants| {
                let named = |(index, fields)| Variant { name: format!("V{index}"), fields };
                let variants = variants.into_iter().enumerate().map(named).collect();
                Type::Enum { name: "E".into(), variants }
            }),
        ]
    })
}

fn with_byte(inner: Type) -> Type {
    let members = [Type::Scalar(Scalar::U8), inner];
    Type::Struct { name: String::new(), fields: Fields::Tuple(unnamed(members)) }
}

fn unnamed(members: impl IntoIterator<Item = Type>) -> Vec<Field> {
    members.into_iter().map(|value| Field { name: String::new(), offset: 0, value }).collect()
}

fn fields(inner: impl Strategy<Value = Type> + Clone) -> impl Strategy<Value = Fields> {
    let named = |members: Vec<Type>| {
        let mut fields = unnamed(members);
        fields.iter_mut().enumerate().for_each(|(index, field)| field.name = format!("f{index}"));
        Fields::Named(fields)
    };
    prop_oneof![
        Just(Fields::Unit),
        inner.clone().prop_map(|inner| Fields::Newtype(inner.into())),
        proptest::collection::vec(inner.clone(), 2..4).prop_map(|members| Fields::Tuple(unnamed(members))),
        proptest::collection::vec(inner, 0..4).prop_map(named),
    ]
}

fn named(node: &Type) -> OwnedNamedType {
    OwnedNamedType { name: String::new(), ty: theirs(node) }
}

fn boxed(node: &Type) -> Box<OwnedNamedType> {
    Box::new(named(node))
}

fn members(fields: &[Field]) -> Vec<OwnedNamedType> {
    fields.iter().map(|field| named(&field.value)).collect()
}

fn named_members(fields: &[Field]) -> Vec<OwnedNamedValue> {
    fields.iter().map(|field| OwnedNamedValue { name: field.name.clone(), ty: named(&field.value) }).collect()
}

fn theirs(node: &Type) -> Theirs {
    match node {
        Type::Scalar(scalar) => match scalar {
            Scalar::Bool => Theirs::Bool,
            Scalar::U8 => Theirs::U8,
            Scalar::U16 => Theirs::U16,
            Scalar::U32 => Theirs::U32,
            Scalar::U64 => Theirs::U64,
            Scalar::U128 => Theirs::U128,
            Scalar::I8 => Theirs::I8,
            Scalar::I16 => Theirs::I16,
            Scalar::I32 => Theirs::I32,
            Scalar::I64 => Theirs::I64,
            Scalar::I128 => Theirs::I128,
            Scalar::F32 => Theirs::F32,
            Scalar::F64 => Theirs::F64,
            Scalar::Char => Theirs::Char,
        },
        Type::String => Theirs::String,
        Type::Bytes => Theirs::ByteArray,
        Type::Unit => Theirs::Unit,
        Type::Schema => Theirs::Schema,
        Type::Option(inner) => Theirs::Option(boxed(inner)),
        Type::Sequence(element) => Theirs::Seq(boxed(element)),
        Type::Array { len, element } => Theirs::Tuple((0..*len).map(|_| named(element)).collect()),
        Type::Map { key, value } => Theirs::Map { key: boxed(key), val: boxed(value) },
        Type::Struct { fields, .. } => match fields {
            Fields::Unit => Theirs::UnitStruct,
            Fields::Newtype(inner) => Theirs::NewtypeStruct(boxed(inner)),
            Fields::Tuple(fields) => Theirs::TupleStruct(members(fields)),
            Fields::Named(fields) => Theirs::Struct(named_members(fields)),
        },
        Type::Enum { variants, .. } => {
            let variant = |variant: &Variant| OwnedNamedVariant {
                name: variant.name.clone(),
                ty: match &variant.fields {
                    Fields::Unit => TheirVariant::UnitVariant,
                    Fields::Newtype(inner) => TheirVariant::NewtypeVariant(boxed(inner)),
                    Fields::Tuple(fields) => TheirVariant::TupleVariant(members(fields)),
                    Fields::Named(fields) => TheirVariant::StructVariant(named_members(fields)),
                },
            };
            Theirs::Enum(variants.iter().map(variant).collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Small bytes are often valid lengths, tags and variants.
    #[test]
    fn both_decode_alike(
        root in types(),
        payload in proptest::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..60),
    ) {
        let theirs = postcard_dyn::from_slice_dyn(&named(&root), &payload);
        let schema = Schema { encoding: Encoding::Postcard, root };
        let mut ours = decode("postcard", Some(&schema), &payload);
        if let Err(DecodeError::Left { bytes }) = ours {
            // The crate ignores bytes after the value.
            ours = decode("postcard", Some(&schema), &payload[..payload.len() - bytes]);
        }
        match theirs {
            Ok(value) => prop_assert_eq!(ours, Ok(value)),
            // The crate's error type has no public name.
            Err(error) if format!("{error:?}") == "UnexpectedEndOfData" => prop_assert!(ours.is_err()),
            // The crate cannot decode this type.
            Err(_) => {}
        }
    }
}
