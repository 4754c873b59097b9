//! How a schema is made from a type: for Postcard from its `postcard_schema::Schema`, for plain
//! data from its [`DescribePod`]; and samples of its payloads, which show whether the type agrees.

use std::num::Wrapping;
use std::ptr;

use postcard_schema::schema::{DataModelType, DataModelVariant, NamedType, NamedValue, NamedVariant};

use super::tree::{Encoding, Field, Fields, Scalar, Schema, Type, Variant};
use crate::codec::{Codec, Plain, Pod, Postcard};

/// A codec that knows the schema of its payloads of `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema of `{T}`",
    label = "there is no schema of `{T}` in this codec",
    note = "for `Postcard`, derive `postcard_schema::Schema` on `{T}` (re-exported as \
            `tearless::schema::postcard_schema`; the derive needs the feature `derive` of `postcard-schema` 0.2)",
    note = "for `Pod`, name the fields beside the struct: `tearless::describe_pod!(State {{ jobs_done, rates }});`",
    note = "a type of another crate needs a type of yours around it that implements the trait, or a field type \
            that does",
    note = "`MessagePack` needs no schema: leave it out, its payloads describe themselves"
)]
pub trait Describe<T: ?Sized>: Codec<T> {
    /// The schema of every payload of a `T`.
    fn describe() -> Schema;
}

#[diagnostic::do_not_recommend]
impl<T: postcard_schema::Schema + ?Sized> Describe<T> for Postcard {
    fn describe() -> Schema {
        Schema { encoding: Encoding::Postcard, root: converted(T::SCHEMA) }
    }
}

impl<S: Plain<Data: DescribePod>> Describe<S> for Pod {
    fn describe() -> Schema {
        Schema { encoding: Encoding::Pod, root: S::Data::describe_pod() }
    }
}

/// The tree of a schema that the crate `postcard-schema` derived.
fn converted(named: &'static NamedType) -> Type {
    if let Some(scalar) = Scalar::of_model(named.ty) {
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
            let variant =
                |variant: &&NamedVariant| Variant { name: variant.name.into(), fields: contents(variant.ty) };
            Type::Enum { name: named.name.into(), variants: variants.iter().map(variant).collect() }
        }
        _ => Type::Schema,
    }
}

/// The crate has no arrays: `[u8; 1000]` is a tuple of 1,000 types.
fn tuple(members: &'static [&'static NamedType]) -> Type {
    match members.split_first() {
        Some((first, rest)) if rest.iter().all(|other| ptr::eq(*first, *other) || first == other) => {
            Type::Array { len: members.len() as u64, element: Box::new(converted(first)) }
        }
        _ => Type::Struct { name: String::new(), fields: Fields::Tuple(unnamed(members)) },
    }
}

/// Contents by position. A single value is a newtype, because serde has no tuple struct and no
/// tuple variant of one value. Schemas written by hand may say otherwise; that of `Result` does.
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
        // The name that serde uses.
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

/// Plain data ([`bytemuck::Pod`]) with a schema. [`describe_pod!`](crate::describe_pod) implements
/// it for structs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no schema as plain data",
    label = "the layout of `{Self}` is unknown",
    note = "name the fields of a struct of yours, in the struct's module: \
            `tearless::describe_pod!({Self} {{ first_field, second_field }});`; every field needs a schema, too",
    note = "a type of another crate needs a `#[repr(transparent)]` struct of yours around it"
)]
pub trait DescribePod: bytemuck::Pod {
    /// The type of the bytes.
    fn describe_pod() -> Type;
}

macro_rules! scalars {
    ($($type:ty: $scalar:ident),*) => {$(
        impl DescribePod for $type {
            fn describe_pod() -> Type {
                Type::Scalar(Scalar::$scalar)
            }
        }
    )*};
}

scalars! {
    u8: U8, u16: U16, u32: U32, u64: U64, u128: U128, usize: U64,
    i8: I8, i16: I16, i32: I32, i64: I64, i128: I128, isize: I64,
    f32: F32, f64: F64
}

impl DescribePod for () {
    fn describe_pod() -> Type {
        Type::Unit
    }
}

impl<T: DescribePod> DescribePod for Wrapping<T> {
    fn describe_pod() -> Type {
        T::describe_pod()
    }
}

impl<T: DescribePod, const N: usize> DescribePod for [T; N] {
    fn describe_pod() -> Type {
        Type::Array { len: N as u64, element: Box::new(T::describe_pod()) }
    }
}

/// Implements [`DescribePod`](crate::schema::DescribePod) for a struct:
/// `describe_pod!(State { jobs_done, rates });`, or by position `describe_pod!(Point(0, 1));`.
///
/// The caller gives the names of all fields; the compiler adds their types and offsets. The call
/// compiles only if every field is named, every field's type implements
/// [`DescribePod`](crate::schema::DescribePod), and there is no padding. The struct is in the same
/// module, has no parameters, and is not `packed`.
///
/// ```
/// use tearless::schema::Describe;
///
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Point(f64, f64);
/// tearless::describe_pod!(Point(0, 1));
///
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Robot { moves: u64, position: Point, speeds: [f32; 4] }
/// tearless::describe_pod!(Robot { moves, position, speeds });
///
/// let schema = <tearless::Pod as Describe<Robot>>::describe();
/// assert_eq!(schema.fixed_len(), Some(40));
/// ```
///
/// A field is missing:
///
/// ```compile_fail
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Robot { moves: u64, speed: f64 }
/// tearless::describe_pod!(Robot { moves });
/// ```
#[macro_export]
macro_rules! describe_pod {
    ($state:ident { $($field:ident),+ $(,)? }) => {
        $crate::describe_pod!(@implement $state named $($field)+);
    };
    ($state:ident ( $($position:tt),+ $(,)? )) => {
        $crate::describe_pod!(@implement $state positional $($position)+);
    };
    (@implement $state:ident $kind:ident $($field:tt)+) => {
        impl $crate::schema::DescribePod for $state {
            fn describe_pod() -> $crate::schema::Type {
                // Does not compile if a field is missing.
                let _complete = |state: $state| {
                    let $state { $($field: _),+ } = state;
                };
                $crate::schema::assembly::$kind(
                    ::core::stringify!($state),
                    [$($crate::schema::assembly::field(
                        ::core::stringify!($field),
                        ::core::mem::offset_of!($state, $field),
                        |state: &$state| &state.$field,
                    )),+],
                )
            }
        }
        const _: () = ::core::assert!(
            0 $(+ $crate::schema::assembly::size(|state: &$state| &state.$field))+
                == ::core::mem::size_of::<$state>(),
            "the struct has padding between its fields, or a field is named twice"
        );
    };
}

/// Called by [`describe_pod!`](crate::describe_pod).
pub mod assembly {
    use super::{DescribePod, Field, Fields, Type};

    /// One field, of the type that `_get` returns.
    #[must_use]
    pub fn field<S, F: DescribePod>(name: &str, offset: usize, _get: fn(&S) -> &F) -> Field {
        let name = name.strip_prefix("r#").unwrap_or(name).into();
        Field { name, offset: offset as u64, value: F::describe_pod() }
    }

    /// The size of the type that `_get` returns.
    #[must_use]
    pub const fn size<S, F>(_get: fn(&S) -> &F) -> usize {
        size_of::<F>()
    }

    /// A struct with named fields.
    #[must_use]
    pub fn named<const N: usize>(name: &str, fields: [Field; N]) -> Type {
        let mut fields = Vec::from(fields);
        fields.sort_by_key(|field| field.offset);
        Type::Struct { name: name.into(), fields: Fields::Named(fields) }
    }

    /// A tuple struct.
    #[must_use]
    pub fn positional<const N: usize>(name: &str, fields: [Field; N]) -> Type {
        let mut fields = Vec::from(fields);
        // The caller may name the fields in any order.
        fields.sort_by_key(|field| field.name.parse::<usize>().unwrap_or(usize::MAX));
        fields.iter_mut().for_each(|field| field.name.clear());
        let fields = match fields.pop_if(|field| field.offset == 0) {
            Some(only) if fields.is_empty() => Fields::Newtype(Box::new(only.value)),
            last => Fields::Tuple(fields.into_iter().chain(last).collect()),
        };
        Type::Struct { name: name.into(), fields }
    }
}

/// The most values in a sample.
const MAX_VALUES: usize = 1 << 16;

/// The most samples of one schema.
const MAX_SAMPLES: usize = 256;

/// Payloads of `root` that have each variant of each enum, one element in each list, and no number
/// that is zero. None if they had too many values.
pub(crate) fn samples(root: &Type) -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut variants = 1;
    while samples.len() < variants.min(MAX_SAMPLES) {
        let mut sample = Sample { bytes: Vec::new(), number: samples.len(), variants, left: MAX_VALUES };
        if sample.write(root).is_none() {
            return Vec::new();
        }
        variants = sample.variants;
        samples.push(sample.bytes);
    }
    samples
}

struct Sample {
    bytes: Vec<u8>,
    number: usize,
    /// The variants of the enum that has the most of those seen so far.
    variants: usize,
    /// The values that may follow.
    left: usize,
}

impl Sample {
    fn write(&mut self, node: &Type) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        match node {
            Type::Scalar(Scalar::F32) => self.bytes.extend(1_f32.to_le_bytes()),
            Type::Scalar(Scalar::F64) => self.bytes.extend(1_f64.to_le_bytes()),
            Type::Scalar(Scalar::Char) | Type::String | Type::Bytes => self.bytes.extend([1, b'1']),
            Type::Scalar(Scalar::Bool) => self.bytes.push(1),
            // No zero, and a length that is too large where a text is read instead.
            Type::Scalar(_) => self.bytes.push(b'1'),
            Type::Unit => {}
            Type::Schema => return None,
            Type::Option(inner) | Type::Sequence(inner) => {
                self.bytes.push(1);
                self.write(inner)?;
            }
            Type::Array { len, element } => (0..*len).try_for_each(|_| self.write(element))?,
            Type::Map { key, value } => {
                self.bytes.push(1);
                self.write(key)?;
                self.write(value)?;
            }
            Type::Struct { fields, .. } => self.fields(fields)?,
            Type::Enum { variants, .. } => {
                self.variants = self.variants.max(variants.len());
                let index = self.number.checked_rem(variants.len())?;
                match u8::try_from(index).ok()? {
                    low @ 0..0x80 => self.bytes.push(low),
                    high => self.bytes.extend([high, 1]),
                }
                self.fields(&variants[index].fields)?;
            }
        }
        Some(())
    }

    fn fields(&mut self, fields: &Fields) -> Option<()> {
        match fields {
            Fields::Unit => Some(()),
            Fields::Newtype(inner) => self.write(inner),
            Fields::Tuple(fields) | Fields::Named(fields) => {
                fields.iter().try_for_each(|field| self.write(&field.value))
            }
        }
    }
}
