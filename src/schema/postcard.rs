//! Schemas of the crate `postcard-schema`, made ours.

use std::ptr;

use super::postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue};
use super::{Field, Fields, Scalar, Type, Variant};

/// The type that a derived schema describes.
pub(super) fn converted(named: &'static NamedType) -> Type {
    if let Some(scalar) = scalar(named.ty) {
        return Type::Scalar(scalar);
    }
    let in_struct = |fields| Type::Struct { name: named.name.into(), fields };
    match named.ty {
        DataModelType::String => Type::String,
        DataModelType::ByteArray => Type::Bytes,
        DataModelType::Unit => Type::Unit,
        DataModelType::Option(inner) => Type::Option(Box::new(converted(inner))),
        DataModelType::Seq(element) => Type::Sequence(Box::new(converted(element))),
        DataModelType::Map { key, val } => {
            Type::Map { key: Box::new(converted(key)), value: Box::new(converted(val)) }
        }
        DataModelType::Tuple(members) => tuple(members),
        DataModelType::UnitStruct => in_struct(Fields::Unit),
        DataModelType::NewtypeStruct(inner) => in_struct(Fields::Newtype(Box::new(converted(inner)))),
        DataModelType::TupleStruct(members) => in_struct(positional(members)),
        DataModelType::Struct(members) => in_struct(named_fields(members)),
        DataModelType::Enum(variants) => {
            let variant = |variant: &&postcard_schema::schema::NamedVariant| Variant {
                name: variant.name.into(),
                fields: contents(variant.ty),
            };
            Type::Enum { name: named.name.into(), variants: variants.iter().map(variant).collect() }
        }
        _ => Type::Schema,
    }
}

fn scalar(described: &DataModelType) -> Option<Scalar> {
    Some(match described {
        DataModelType::Bool => Scalar::Bool,
        DataModelType::U8 => Scalar::U8,
        DataModelType::U16 => Scalar::U16,
        DataModelType::U32 => Scalar::U32,
        DataModelType::U64 | DataModelType::Usize => Scalar::U64,
        DataModelType::U128 => Scalar::U128,
        DataModelType::I8 => Scalar::I8,
        DataModelType::I16 => Scalar::I16,
        DataModelType::I32 => Scalar::I32,
        DataModelType::I64 | DataModelType::Isize => Scalar::I64,
        DataModelType::I128 => Scalar::I128,
        DataModelType::F32 => Scalar::F32,
        DataModelType::F64 => Scalar::F64,
        DataModelType::Char => Scalar::Char,
        _ => return None,
    })
}

/// That crate knows no arrays: `[u8; 1000]` is a tuple of 1,000 types.
fn tuple(members: &'static [&'static NamedType]) -> Type {
    match members.split_first() {
        Some((first, rest)) if rest.iter().all(|other| ptr::eq(*first, *other) || first == other) => {
            Type::Array { len: members.len() as u64, element: Box::new(converted(first)) }
        }
        _ => Type::Struct { name: String::new(), fields: Fields::Tuple(unnamed(members)) },
    }
}

/// Contents by position. One alone is a newtype, also where a schema was written by hand and says otherwise, as that of
/// `Result` does: serde knows no tuple struct and no tuple variant of one.
fn positional(members: &'static [&'static NamedType]) -> Fields {
    match members {
        [inner] => Fields::Newtype(Box::new(converted(inner))),
        members => Fields::Tuple(unnamed(members)),
    }
}

fn unnamed(members: &'static [&'static NamedType]) -> Vec<Field> {
    members.iter().map(|member| Field { name: String::new(), offset: 0, value: converted(member) }).collect()
}

fn named_fields(members: &'static [&'static NamedValue]) -> Fields {
    let field = |member: &&'static NamedValue| Field {
        // As serde names it.
        name: member.name.strip_prefix("r#").unwrap_or(member.name).into(),
        offset: 0,
        value: converted(member.ty),
    };
    Fields::Named(members.iter().map(field).collect())
}

fn contents(variant: &'static DataModelVariant) -> Fields {
    match variant {
        DataModelVariant::UnitVariant => Fields::Unit,
        DataModelVariant::NewtypeVariant(inner) => Fields::Newtype(Box::new(converted(inner))),
        DataModelVariant::TupleVariant(members) => positional(members),
        DataModelVariant::StructVariant(members) => named_fields(members),
    }
}
