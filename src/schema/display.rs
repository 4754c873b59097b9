//! A schema as text that looks like Rust.

use std::fmt::{self, Display, Formatter, Write};

use super::{Encoding, Fields, Schema, Type};

/// As pseudo-Rust, each struct where it is used. Names are escaped as in a string literal where they need it.
impl Display for Schema {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Printer { formatter, indent: 0, encoding: self.encoding }.r#type(&self.root)
    }
}

/// What a type is called in one line: `Vec<Job>`.
impl Display for Type {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Type::Scalar(scalar) => formatter.write_str(scalar.name()),
            Type::String => formatter.write_str("String"),
            Type::Bytes => formatter.write_str("bytes"),
            Type::Unit => formatter.write_str("()"),
            Type::Schema => formatter.write_str("Schema"),
            Type::Option(inner) => write!(formatter, "Option<{inner}>"),
            Type::Sequence(element) => write!(formatter, "Vec<{element}>"),
            Type::Array { len, element } => write!(formatter, "[{element}; {len}]"),
            Type::Map { key, value } => write!(formatter, "Map<{key}, {value}>"),
            Type::Struct { name, fields: Fields::Tuple(fields) } if name.is_empty() => {
                formatter.write_char('(')?;
                for (index, field) in fields.iter().enumerate() {
                    write!(formatter, "{}{}", if index == 0 { "" } else { ", " }, field.value)?;
                }
                formatter.write_char(')')
            }
            Type::Struct { name, .. } | Type::Enum { name, .. } => {
                write!(formatter, "{}", name.escape_debug())
            }
        }
    }
}

/// Writes a type with all that it consists of.
struct Printer<'a, 'b> {
    formatter: &'a mut Formatter<'b>,
    indent: usize,
    encoding: Encoding,
}

impl Printer<'_, '_> {
    fn r#type(&mut self, described: &Type) -> fmt::Result {
        match described {
            Type::Option(inner) => self.around("Option<", inner, ">"),
            Type::Sequence(element) => self.around("Vec<", element, ">"),
            Type::Array { len, element } => self.around("[", element, &format!("; {len}]")),
            Type::Map { key, value } => {
                self.around("Map<", key, ", ")?;
                self.around("", value, ">")
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
            plain => write!(self.formatter, "{plain}"),
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
                let is_plain = self.encoding == Encoding::Pod;
                self.lines(fields, |printer, field| {
                    write!(printer.formatter, "{}: ", field.name.escape_debug())?;
                    printer.r#type(&field.value)?;
                    if is_plain {
                        write!(printer.formatter, " /* at byte {} */", field.offset)
                    } else {
                        Ok(())
                    }
                })
            }
        }
    }

    /// One line for each, in braces.
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
