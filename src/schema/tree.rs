//! The tree of types that a schema is, and its text.

use std::fmt::{self, Display, Formatter, Write};

use postcard_schema::schema::DataModelType;

/// How a state becomes bytes: an encoding and a tree of types. [The module](crate::schema) shows
/// how to get one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    pub(crate) encoding: Encoding,
    pub(crate) root: Type,
}

/// How payloads encode the types of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// One value after the other, as [Postcard](https://postcard.jamesmunns.com/wire-format)
    /// encodes them.
    Postcard,
    /// Plain data: every field is at its offset, in little-endian order.
    Pod,
}

/// The type of a value: a node of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// A number, a `bool` or a `char`.
    Scalar(Scalar),
    /// UTF-8 text.
    String,
    /// Bytes, as many as the payload says.
    Bytes,
    /// No data: `()`.
    Unit,
    /// A schema as a value. Schemas with it can be compared; values of it cannot be decoded.
    Schema,
    /// A value or none.
    Option(Box<Type>),
    /// Values of one type, as many as the payload says.
    Sequence(Box<Type>),
    /// A fixed number of values of one type. A tuple of equal types is an array, too.
    Array {
        /// The number of values.
        len: u64,
        /// The type of each value.
        element: Box<Type>,
    },
    /// Keys with values, as many as the payload says.
    Map {
        /// The type of each key.
        key: Box<Type>,
        /// The type of each value.
        value: Box<Type>,
    },
    /// A struct. A tuple is a struct whose name is empty.
    Struct {
        /// The struct's name, without a path.
        name: String,
        /// The struct's contents.
        fields: Fields,
    },
    /// An enum. A value is one of the variants.
    Enum {
        /// The enum's name, without a path.
        name: String,
        /// The enum's variants, by index.
        variants: Vec<Variant>,
    },
}

/// The contents of a struct, or of a variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fields {
    /// No fields.
    Unit,
    /// One value without a name. The payload holds this value only.
    Newtype(Box<Type>),
    /// Values identified by position; their names are empty.
    Tuple(Vec<Field>),
    /// Values identified by name.
    Named(Vec<Field>),
}

/// One field of a struct or variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The field's name; empty in a tuple.
    pub name: String,
    /// The distance from the beginning of the struct in bytes, in plain data ([`Encoding::Pod`]); 0
    /// in other encodings.
    pub offset: u64,
    /// The field's type.
    pub value: Type,
}

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The variant's name.
    pub name: String,
    /// The variant's contents.
    pub fields: Fields,
}

/// A number, a `bool` or a `char`. `usize` and `isize` are 64-bit integers, as on all supported
/// targets.
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

/// Each scalar, its name in Rust, its size in plain data, and its type in the crate
/// `postcard-schema`, in the order of their tags.
const SCALARS: [(Scalar, &str, u64, DataModelType); 14] = [
    (Scalar::Bool, "bool", 1, DataModelType::Bool),
    (Scalar::U8, "u8", 1, DataModelType::U8),
    (Scalar::U16, "u16", 2, DataModelType::U16),
    (Scalar::U32, "u32", 4, DataModelType::U32),
    (Scalar::U64, "u64", 8, DataModelType::U64),
    (Scalar::U128, "u128", 16, DataModelType::U128),
    (Scalar::I8, "i8", 1, DataModelType::I8),
    (Scalar::I16, "i16", 2, DataModelType::I16),
    (Scalar::I32, "i32", 4, DataModelType::I32),
    (Scalar::I64, "i64", 8, DataModelType::I64),
    (Scalar::I128, "i128", 16, DataModelType::I128),
    (Scalar::F32, "f32", 4, DataModelType::F32),
    (Scalar::F64, "f64", 8, DataModelType::F64),
    (Scalar::Char, "char", 4, DataModelType::Char),
];

impl Scalar {
    /// The scalar of this tag in a schema's bytes.
    pub(super) fn of_tag(tag: u8) -> Option<Scalar> {
        SCALARS.get(usize::from(tag)).map(|(scalar, ..)| *scalar)
    }

    pub(super) fn tag(self) -> u8 {
        self as u8
    }

    pub(super) fn of_model(model: &DataModelType) -> Option<Scalar> {
        let model = match model {
            DataModelType::Usize => &DataModelType::U64,
            DataModelType::Isize => &DataModelType::I64,
            other => other,
        };
        SCALARS.iter().find(|(.., known)| known == model).map(|(scalar, ..)| *scalar)
    }

    /// The type's name in Rust.
    #[must_use]
    pub fn name(self) -> &'static str {
        SCALARS[self as usize].1
    }

    /// The size in plain data, in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        SCALARS[self as usize].2
    }
}

#[cfg(all(test, feature = "dynamic"))]
thread_local! {
    /// How many sizes [`Type::size`] has computed, repetitions included.
    pub(crate) static SIZES_COMPUTED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Type {
    /// The size as plain data in bytes; `None` if this type cannot be plain data, or if the size
    /// exceeds 64 bits.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        #[cfg(all(test, feature = "dynamic"))]
        SIZES_COMPUTED.set(SIZES_COMPUTED.get() + 1);
        match self {
            Type::Scalar(scalar) => Some(scalar.size()),
            Type::Unit => Some(0),
            Type::Array { len, element } => element.size()?.checked_mul(*len),
            Type::Struct { fields, .. } => fields.size(),
            _ => None,
        }
    }

    /// The type without the newtypes around it: a payload does not show them.
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
                fields.iter().try_fold(0, |size, field| Some(end(field)?.max(size)))
            }
        }
    }
}

/// Pseudo-Rust, with the fields of each struct where the struct is used. Names are escaped as in a
/// string literal.
impl Display for Schema {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Printer { formatter, indent: 0, contents: Some(self.encoding) }.r#type(&self.root)
    }
}

/// The type in one line: `Vec<Job>`.
impl Display for Type {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Printer { formatter, indent: 0, contents: None }.r#type(self)
    }
}

struct Printer<'a, 'b> {
    formatter: &'a mut Formatter<'b>,
    indent: usize,
    /// The encoding if structs and enums are written with their contents; `None` for their names.
    contents: Option<Encoding>,
}

impl Printer<'_, '_> {
    fn r#type(&mut self, node: &Type) -> fmt::Result {
        match node {
            Type::Scalar(scalar) => self.formatter.write_str(scalar.name()),
            Type::String => self.formatter.write_str("String"),
            Type::Bytes => self.formatter.write_str("bytes"),
            Type::Unit => self.formatter.write_str("()"),
            Type::Schema => self.formatter.write_str("Schema"),
            Type::Option(inner) => self.around("Option<", inner, ">"),
            Type::Sequence(element) => self.around("Vec<", element, ">"),
            Type::Array { len, element } => self.around("[", element, &format!("; {len}]")),
            Type::Map { key, value } => {
                self.around("Map<", key, ", ")?;
                self.around("", value, ">")
            }
            Type::Struct { name, fields: fields @ Fields::Tuple(_) } if name.is_empty() => {
                self.fields(fields)
            }
            Type::Struct { name, .. } | Type::Enum { name, .. } if self.contents.is_none() => {
                write!(self.formatter, "{}", name.escape_debug())
            }
            Type::Struct { name, fields } => {
                if !name.is_empty() {
                    write!(self.formatter, "struct {}", name.escape_debug())?;
                }
                self.fields(fields)
            }
            Type::Enum { name, variants } => {
                write!(self.formatter, "enum {} ", name.escape_debug())?;
                self.lines(variants, |printer, variant| {
                    write!(printer.formatter, "{}", variant.name.escape_debug())?;
                    printer.fields(&variant.fields)
                })
            }
        }
    }

    fn around(&mut self, before: &str, inner: &Type, after: &str) -> fmt::Result {
        self.formatter.write_str(before)?;
        self.r#type(inner)?;
        self.formatter.write_str(after)
    }

    fn fields(&mut self, fields: &Fields) -> fmt::Result {
        match fields {
            Fields::Unit => Ok(()),
            Fields::Newtype(inner) => self.around("(", inner, ")"),
            Fields::Tuple(fields) => {
                self.formatter.write_char('(')?;
                for (index, field) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    self.around(separator, &field.value, "")?;
                }
                self.formatter.write_char(')')
            }
            Fields::Named(fields) => {
                self.formatter.write_char(' ')?;
                self.lines(fields, |printer, field| {
                    write!(printer.formatter, "{}: ", field.name.escape_debug())?;
                    printer.r#type(&field.value)?;
                    match printer.contents {
                        Some(Encoding::Pod) => write!(printer.formatter, " /* at byte {} */", field.offset),
                        _ => Ok(()),
                    }
                })
            }
        }
    }

    /// Braces with one line for each value.
    fn lines<V>(&mut self, values: &[V], write: impl Fn(&mut Self, &V) -> fmt::Result) -> fmt::Result {
        self.formatter.write_str("{\n")?;
        self.indent += 1;
        for value in values {
            write!(self.formatter, "{:1$}", "", self.indent * 4)?;
            write(self, value)?;
            self.formatter.write_str(",\n")?;
        }
        self.indent -= 1;
        write!(self.formatter, "{:1$}}}", "", self.indent * 4)
    }
}
