//! All fields of a state, and what they are called.

use std::fmt::{self, Display, Formatter};

use super::{Fields, Schema, Type};

/// A field that a state has, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldInfo {
    /// How one gets there: `queue[].deadline`. `[]` stands for every element of a list and every value of a map.
    pub path: String,
    /// What it is, in one line.
    pub type_name: String,
}

impl Schema {
    /// All fields, those of fields behind them, in the order in which they are declared.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldInfo> {
        let mut found = Vec::new();
        collect(&self.root, Trail::Root, &mut found);
        found
    }
}

/// How one gets to a value, as a list from there back to the state.
#[derive(Clone, Copy)]
pub(super) enum Trail<'a> {
    Root,
    Name(&'a Trail<'a>, &'a str),
    Position(&'a Trail<'a>, usize),
    /// Every element of a list, every value of a map.
    Each(&'a Trail<'a>),
    /// The keys of a map.
    Keys(&'a Trail<'a>),
}

impl Display for Trail<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Root => Ok(()),
            Trail::Name(Trail::Root, name) => formatter.write_str(&segment(name)),
            Trail::Name(behind, name) => {
                let segment = segment(name);
                let dot = if segment.starts_with('[') { "" } else { "." };
                write!(formatter, "{behind}{dot}{segment}")
            }
            Trail::Position(behind, index) => write!(formatter, "{behind}[{index}]"),
            Trail::Each(behind) => write!(formatter, "{behind}[]"),
            Trail::Keys(behind) => write!(formatter, "{behind}[key]"),
        }
    }
}

/// A name as part of a path: in `["…"]` unless it is a plain word.
pub(crate) fn segment(name: &str) -> String {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    match begins && characters.all(|other| other.is_alphanumeric() || matches!(other, '_' | '-')) {
        true => name.into(),
        false => format!("[\"{}\"]", name.escape_debug()),
    }
}

fn collect(described: &Type, trail: Trail<'_>, found: &mut Vec<FieldInfo>) {
    match described {
        Type::Option(inner) => collect(inner, trail, found),
        Type::Sequence(element) | Type::Array { element, .. } => collect(element, Trail::Each(&trail), found),
        Type::Map { value, .. } => collect(value, Trail::Each(&trail), found),
        Type::Struct { fields, .. } => collect_fields(fields, trail, found),
        Type::Enum { variants, .. } => {
            for variant in variants {
                collect_fields(&variant.fields, Trail::Name(&trail, &variant.name), found);
            }
        }
        _ => {}
    }
}

fn collect_fields(fields: &Fields, trail: Trail<'_>, found: &mut Vec<FieldInfo>) {
    match fields {
        Fields::Unit => {}
        Fields::Newtype(inner) => collect(inner, trail, found),
        Fields::Tuple(fields) => {
            for (index, field) in fields.iter().enumerate() {
                add(&field.value, Trail::Position(&trail, index), found);
            }
        }
        Fields::Named(fields) => {
            fields.iter().for_each(|field| add(&field.value, Trail::Name(&trail, &field.name), found));
        }
    }
}

fn add(described: &Type, trail: Trail<'_>, found: &mut Vec<FieldInfo>) {
    found.push(FieldInfo { path: trail.to_string(), type_name: described.to_string() });
    collect(described, trail, found);
}
