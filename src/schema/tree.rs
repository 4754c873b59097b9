//! The tree that a schema is.

use super::SchemaError;

/// How a state is laid out: which encoding, and of which types. [The module](crate::schema) says how to get one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    pub(crate) encoding: Encoding,
    pub(crate) root: Type,
}

/// How the bytes of a payload follow from a schema's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// One value after the other, as [Postcard](https://postcard.jamesmunns.com/wire-format) writes them.
    Postcard,
    /// Plain data: every field stands at its offset, in little-endian order.
    Pod,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// A number, a `bool` or a `char`.
    Scalar(Scalar),
    /// A text.
    String,
    /// Some bytes.
    Bytes,
    /// Nothing: `()`.
    Unit,
    /// A schema as a value. It takes part in comparisons, but values of it can't be decoded.
    Schema,
    /// Something or nothing.
    Option(Box<Type>),
    /// As many values of one type as the payload says.
    Sequence(Box<Type>),
    /// A fixed number of values of one type; a tuple of equal types is one, too.
    Array {
        /// How many.
        len: u64,
        /// What each is.
        element: Box<Type>,
    },
    /// As many keys and values as the payload says.
    Map {
        /// What each key is.
        key: Box<Type>,
        /// What each value is.
        value: Box<Type>,
    },
    /// A struct; with an empty name, a tuple.
    Struct {
        /// Its name, without a path.
        name: String,
        /// What it holds.
        fields: Fields,
    },
    /// An enum. A value has one of the variants.
    Enum {
        /// Its name, without a path.
        name: String,
        /// Its variants, by index.
        variants: Vec<Variant>,
    },
}

/// What a struct, or a variant of an enum, holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fields {
    /// Nothing.
    Unit,
    /// One value without a name, in whose place it stands.
    Newtype(Box<Type>),
    /// Values that are told by their positions; their names are empty.
    Tuple(Vec<Field>),
    /// Values that have names.
    Named(Vec<Field>),
}

/// One value in a struct or variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// Its name; empty in a tuple.
    pub name: String,
    /// Bytes from the beginning of its struct, in plain data ([`Encoding::Pod`]); else 0.
    pub offset: u64,
    /// What it is.
    pub value: Type,
}

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub fields: Fields,
}

/// A number, a `bool` or a `char`. `usize` and `isize` are the 64-bit integers that they are on all supported targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the primitive type of its name")]
pub enum Scalar {
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Char,
}

impl Scalar {
    /// All of them, by their tags in a schema's bytes.
    pub(super) const ALL: [Scalar; 14] = [
        Scalar::Bool,
        Scalar::U8,
        Scalar::U16,
        Scalar::U32,
        Scalar::U64,
        Scalar::U128,
        Scalar::I8,
        Scalar::I16,
        Scalar::I32,
        Scalar::I64,
        Scalar::I128,
        Scalar::F32,
        Scalar::F64,
        Scalar::Char,
    ];

    /// The type's name in Rust.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "bool",
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::U128 => "u128",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::I128 => "i128",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
            Scalar::Char => "char",
        }
    }

    /// Its size in plain data, in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        match self {
            Scalar::Bool | Scalar::U8 | Scalar::I8 => 1,
            Scalar::U16 | Scalar::I16 => 2,
            Scalar::U32 | Scalar::I32 | Scalar::F32 | Scalar::Char => 4,
            Scalar::U64 | Scalar::I64 | Scalar::F64 => 8,
            Scalar::U128 | Scalar::I128 => 16,
        }
    }
}

#[cfg(all(test, feature = "dynamic"))]
thread_local! {
    /// Types whose sizes have been computed, again and again, by [`Type::size`].
    pub(crate) static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Schema {
    /// A schema for a codec of one's own, whose payloads are laid out as `encoding` says: for its
    /// [`Describe`](super::Describe). In plain data, offsets count; else they are 0, and ignored.
    ///
    /// Cost: its bytes are made and read once.
    ///
    /// # Errors
    ///
    /// [`SchemaError`], if a channel can't carry it: see [`Schema::from_bytes`].
    pub fn new(encoding: Encoding, root: Type) -> Result<Schema, SchemaError> {
        // What the bytes say, so that it equals what a reader gets.
        Schema::from_bytes(&Schema { encoding, root }.to_bytes())
    }

    /// How payloads follow from [`Schema::root`].
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// What the state is.
    #[must_use]
    pub fn root(&self) -> &Type {
        &self.root
    }

    /// The size of every payload in bytes, where it is plain data; else `None`.
    #[must_use]
    pub fn fixed_len(&self) -> Option<u64> {
        match self.encoding {
            Encoding::Postcard => None,
            Encoding::Pod => self.root.size(),
        }
    }
}

impl Type {
    /// The size in bytes as plain data; `None` if it can't be that, or if the size is no number of 64 bits.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        #[cfg(all(test, feature = "dynamic"))]
        LOOKS.set(LOOKS.get() + 1);
        match self {
            Type::Scalar(scalar) => Some(scalar.size()),
            Type::Unit => Some(0),
            Type::Array { len, element } => element.size()?.checked_mul(*len),
            Type::Struct { fields, .. } => fields.size(),
            _ => None,
        }
    }

    /// What it is in a payload: a newtype is what it holds.
    pub(crate) fn bare(&self) -> &Type {
        match self {
            Type::Struct { fields: Fields::Newtype(inner), .. } => inner.bare(),
            other => other,
        }
    }
}

impl Fields {
    fn size(&self) -> Option<u64> {
        match self {
            Fields::Unit => Some(0),
            Fields::Newtype(inner) => inner.size(),
            Fields::Tuple(fields) | Fields::Named(fields) => {
                let end = |field: &Field| field.offset.checked_add(field.value.size()?);
                fields.iter().try_fold(0, |max, field| Some(end(field)?.max(max)))
            }
        }
    }
}
