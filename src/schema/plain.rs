//! Plain data that says where its fields stand.

use std::num::Wrapping;

use super::{Scalar, Type};

/// Plain data ([`bytemuck::Pod`]) that can say what it consists of. Implemented for structs by
/// [`describe_pod!`](crate::describe_pod).
pub trait DescribePod: bytemuck::Pod {
    /// What its bytes mean.
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

/// Says what a plain struct consists of: `describe_pod!(State { jobs_done, rates });`, or by position
/// `describe_pod!(Point(0, 1));`.
///
/// Only the fields' names are given. Their types and offsets are the compiler's, and it does not compile unless all
/// fields are named, each is [described](crate::schema::DescribePod) itself, and there is nothing between them. The struct
/// stands in the same module, has no parameters, and is not `packed`.
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
/// A field that is left out:
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
            "there is something between the fields, or a field is named twice"
        );
    };
}

/// What [`describe_pod!`](crate::describe_pod) calls.
pub mod assembly {
    use super::DescribePod;
    use crate::schema::{Field, Fields, Type};

    /// One field; its type is that of what `_get` gets.
    #[must_use]
    pub fn field<S, F: DescribePod>(name: &str, offset: usize, _get: fn(&S) -> &F) -> Field {
        let name = name.strip_prefix("r#").unwrap_or(name).into();
        Field { name, offset: offset as u64, value: F::describe_pod() }
    }

    /// The size of what `_get` gets.
    #[must_use]
    pub const fn size<S, F>(_get: fn(&S) -> &F) -> usize {
        size_of::<F>()
    }

    /// A struct of fields with names.
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
        // They may be given in any order.
        fields.sort_by_key(|field| field.name.parse::<usize>().unwrap_or(usize::MAX));
        fields.iter_mut().for_each(|field| field.name.clear());
        let fields = match fields.pop_if(|field| field.offset == 0) {
            Some(only) if fields.is_empty() => Fields::Newtype(Box::new(only.value)),
            last => Fields::Tuple(fields.into_iter().chain(last).collect()),
        };
        Type::Struct { name: name.into(), fields }
    }
}
