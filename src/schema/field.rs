//! All fields of a state, and what they are called.

use std::fmt::{self, Display, Formatter, Write};

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

/// Most fields that are listed.
const MAX_FIELDS: usize = 1_000;

/// Most bytes of all texts that are listed.
const MAX_TEXT: usize = 64 * 1024;

/// Most bytes of one path. A longer one is left out, and not cut: it would lead elsewhere.
const MAX_PATH: usize = 4 * 1024;

/// Most bytes of what a type is called.
const MAX_TYPE_NAME: usize = 256;

impl Schema {
    /// The fields, those of fields behind them, in the order in which they are declared.
    ///
    /// The schema may be anybody's: at most 1,000 fields and 64 KiB of text are listed. Fields whose paths have more than
    /// 4 KiB are left out; names of types end with `…` behind 256 bytes. [`Schema::field_count`] counts all.
    ///
    /// Cost: a look at each type, and two texts for each field that is listed.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldInfo> {
        self.first_fields(MAX_FIELDS)
    }

    /// How many fields there are, also those that are not listed by [`Schema::fields`].
    ///
    /// Cost: a look at each type; nothing is allocated.
    #[must_use]
    pub fn field_count(&self) -> usize {
        let mut count = 0;
        collect(&self.root, Trail::Root, &mut |_, _| count += 1);
        count
    }

    /// The first `max` of the fields that are listed.
    pub(crate) fn first_fields(&self, max: usize) -> Vec<FieldInfo> {
        let mut listing = Listing { found: Vec::new(), fields: max.min(MAX_FIELDS), text: MAX_TEXT };
        collect(&self.root, Trail::Root, &mut |described, trail| listing.add(described, trail));
        listing.found
    }
}

/// The fields that have been met, and how much more there may be.
struct Listing {
    found: Vec<FieldInfo>,
    fields: usize,
    text: usize,
}

impl Listing {
    fn add(&mut self, described: &Type, trail: Trail<'_>) {
        if self.fields == 0 {
            return;
        }
        let Ok(path) = Limited::whole(trail, MAX_PATH) else { return };
        let type_name = Limited::cut(described, MAX_TYPE_NAME);
        match self.text.checked_sub(path.len() + type_name.len()) {
            None => self.fields = 0,
            Some(left) => {
                (self.fields, self.text) = (self.fields - 1, left);
                self.found.push(FieldInfo { path, type_name });
            }
        }
    }
}

/// A text that has an end: writing more fails, so that whatever writes stops there.
struct Limited {
    text: String,
    max: usize,
}

impl Write for Limited {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut end = more.len().min(self.max - self.text.len());
        while !more.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&more[..end]);
        if end < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Limited {
    fn whole(shown: impl Display, max: usize) -> Result<String, fmt::Error> {
        let mut limited = Limited { text: String::new(), max };
        write!(limited, "{shown}").map(|()| limited.text)
    }

    fn cut(shown: impl Display, max: usize) -> String {
        let mut limited = Limited { text: String::new(), max };
        if write!(limited, "{shown}").is_err() {
            limited.text.push('…');
        }
        limited.text
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
            Trail::Name(Trail::Root, name) => formatter.write_str(&named_step(name)),
            Trail::Name(behind, name) => {
                let step = named_step(name);
                let dot = if step.starts_with('[') { "" } else { "." };
                write!(formatter, "{behind}{dot}{step}")
            }
            Trail::Position(behind, index) => write!(formatter, "{behind}[{index}]"),
            Trail::Each(behind) => write!(formatter, "{behind}[]"),
            Trail::Keys(behind) => write!(formatter, "{behind}[key]"),
        }
    }
}

/// A name as part of a path: in `["…"]` unless it is a plain word.
pub(crate) fn named_step(name: &str) -> String {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    match begins && characters.all(|other| other.is_alphanumeric() || matches!(other, '_' | '-')) {
        true => name.into(),
        false => format!("[\"{}\"]", name.escape_debug()),
    }
}

/// Calls `add` with every field.
fn collect(described: &Type, trail: Trail<'_>, add: &mut impl FnMut(&Type, Trail<'_>)) {
    match described {
        Type::Option(inner) => collect(inner, trail, add),
        Type::Sequence(element) | Type::Array { element, .. } => collect(element, Trail::Each(&trail), add),
        Type::Map { value, .. } => collect(value, Trail::Each(&trail), add),
        Type::Struct { fields, .. } => collect_fields(fields, trail, add),
        Type::Enum { variants, .. } => {
            for variant in variants {
                collect_fields(&variant.fields, Trail::Name(&trail, &variant.name), add);
            }
        }
        _ => {}
    }
}

fn collect_fields(fields: &Fields, trail: Trail<'_>, add: &mut impl FnMut(&Type, Trail<'_>)) {
    let mut field = |described, trail: Trail<'_>| {
        add(described, trail);
        collect(described, trail, add);
    };
    match fields {
        Fields::Unit => {}
        Fields::Newtype(inner) => collect(inner, trail, add),
        Fields::Tuple(fields) => {
            for (index, member) in fields.iter().enumerate() {
                field(&member.value, Trail::Position(&trail, index));
            }
        }
        Fields::Named(fields) => {
            fields.iter().for_each(|member| field(&member.value, Trail::Name(&trail, &member.name)));
        }
    }
}
