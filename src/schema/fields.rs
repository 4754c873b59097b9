//! The fields of a schema: their list, the offset of one of them, and whether a path can lead to
//! one.

use std::fmt::{self, Display, Write};

use super::path::{FieldPath, Step, Trail};
use super::tree::{Encoding, Field, Fields, Schema, Type};

/// A field that a state has, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldInfo {
    /// The path to the field: `queue[].deadline`. `[]` is every element of a list and every value
    /// of a map; a [`FieldPath`] has the number or the key of one.
    pub path: String,
    /// The field's type in one line.
    pub type_name: String,
}

/// The position of a field in every payload of a schema of plain data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Located<'a> {
    /// The distance from the payload's beginning in bytes.
    pub offset: u64,
    /// The field's size in bytes.
    pub len: u64,
    /// The field's type.
    pub r#type: &'a Type,
}

/// The most fields that a list holds.
const MAX_FIELDS: usize = 1_000;

/// The most bytes of all texts in a list.
const MAX_TEXT: usize = 64 * 1024;

/// The most bytes of a path. The list leaves out longer paths: a shortened path would lead
/// elsewhere.
const MAX_PATH: usize = 4 * 1024;

/// The most bytes of the text of a type.
const MAX_TYPE_NAME: usize = 256;

impl Schema {
    /// The fields and the fields inside of them, in the order of their declaration.
    ///
    /// The schema may come from an untrusted channel: at most 1,000 fields and 64 KiB of text are
    /// listed. Fields whose paths have more than 4 KiB are left out; a text of a type ends with `…`
    /// after 256 bytes. [`Schema::field_count`] counts all fields.
    ///
    /// Cost: visits each type, and allocates two texts for each listed field.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldInfo> {
        let mut listing = Listing { found: Vec::new(), fields: MAX_FIELDS, text: MAX_TEXT };
        collect(&self.root, Trail::ROOT, &mut |node, trail| listing.add(node, trail));
        listing.found
    }

    /// The number of fields, including those that [`Schema::fields`] does not list.
    ///
    /// Cost: visits each type; nothing is allocated.
    #[must_use]
    pub fn field_count(&self) -> usize {
        let mut count = 0;
        collect(&self.root, Trail::ROOT, &mut |_, _| count += 1);
        count
    }

    /// The position of the field at `path` in plain data. `None` if there is no such field, or if
    /// the schema is not of plain data: only there do fields have fixed positions.
    ///
    /// Cost: each step searches the fields there; the last step and each index visit all types in
    /// it. Nothing is allocated.
    #[must_use]
    pub fn locate(&self, path: &FieldPath) -> Option<Located<'_>> {
        if self.encoding != Encoding::Pod {
            return None;
        }
        let (mut node, mut offset) = (self.root.bare(), 0_u64);
        for passed in path.steps() {
            let (further, inner) = step(node, passed)?;
            offset = offset.checked_add(further)?;
            node = inner.bare();
        }
        Some(Located { offset, len: node.size()?, r#type: node })
    }

    /// Whether some state has a value at `path`. Other states may lack it: with another variant,
    /// without the optional value, with a shorter list, without the key.
    ///
    /// Cost: each step searches the fields and variants there. Nothing is allocated.
    #[must_use]
    pub fn may_have(&self, path: &FieldPath) -> bool {
        reaches(&self.root, path.steps())
    }
}

/// The fields found so far, and what the limits still allow.
struct Listing {
    found: Vec<FieldInfo>,
    fields: usize,
    text: usize,
}

impl Listing {
    fn add(&mut self, node: &Type, trail: Trail<'_>) {
        if self.fields == 0 {
            return;
        }
        let Ok(path) = Limited::whole(trail, MAX_PATH) else { return };
        let type_name = Limited::cut(node, MAX_TYPE_NAME);
        match self.text.checked_sub(path.len() + type_name.len()) {
            None => self.fields = 0,
            Some(left) => {
                (self.fields, self.text) = (self.fields - 1, left);
                self.found.push(FieldInfo { path, type_name });
            }
        }
    }
}

/// A text of limited length. Writing more fails, which stops the code that produces the text.
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

/// Calls `add` with every field.
fn collect(node: &Type, trail: Trail<'_>, add: &mut impl FnMut(&Type, Trail<'_>)) {
    match node {
        Type::Option(inner) => collect(inner, trail, add),
        Type::Sequence(element) | Type::Array { element, .. } => collect(element, trail.each(), add),
        Type::Map { value, .. } => collect(value, trail.each(), add),
        Type::Struct { fields, .. } => collect_fields(fields, trail, add),
        Type::Enum { variants, .. } => {
            for variant in variants {
                collect_fields(&variant.fields, trail.name(&variant.name), add);
            }
        }
        _ => {}
    }
}

fn collect_fields(fields: &Fields, trail: Trail<'_>, add: &mut impl FnMut(&Type, Trail<'_>)) {
    let mut field = |node, trail: Trail<'_>| {
        add(node, trail);
        collect(node, trail, add);
    };
    match fields {
        Fields::Unit => {}
        Fields::Newtype(inner) => collect(inner, trail, add),
        Fields::Tuple(fields) => {
            for (index, member) in fields.iter().enumerate() {
                field(&member.value, trail.index(index));
            }
        }
        Fields::Named(fields) => {
            fields.iter().for_each(|member| field(&member.value, trail.name(&member.name)));
        }
    }
}

/// Whether `steps` can lead from a value of `node` to another value. The depth of the recursion is
/// limited by that of the types.
fn reaches(node: &Type, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match (node, step) {
        (Type::Option(inner), _) => reaches(inner, steps),
        (Type::Bytes, Step::Index(_)) => rest.is_empty(),
        (Type::Sequence(element), Step::Index(_)) => reaches(element, rest),
        (Type::Array { len, element }, Step::Index(index)) => {
            u64::try_from(*index).is_ok_and(|index| index < *len) && reaches(element, rest)
        }
        (Type::Map { value, .. }, Step::Name(_)) => reaches(value, rest),
        (Type::Struct { fields, .. }, _) => fields_reach(fields, steps),
        // In a value, a variant without fields is a text and not an object.
        (Type::Enum { variants, .. }, Step::Name(name)) => variants
            .iter()
            .filter(|variant| variant.name == *name && variant.fields != Fields::Unit)
            .any(|variant| fields_reach(&variant.fields, rest)),
        _ => false,
    }
}

fn fields_reach(fields: &Fields, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    match fields {
        Fields::Newtype(inner) => reaches(inner, steps),
        fields => field_at(fields, step).is_some_and(|field| reaches(&field.value, rest)),
    }
}

/// The type after one step, and its offset from the beginning of `node`.
fn step<'a>(node: &'a Type, passed: &Step) -> Option<(u64, &'a Type)> {
    match (node, passed) {
        (Type::Array { len, element }, Step::Index(index)) => {
            let index = u64::try_from(*index).ok().filter(|index| index < len)?;
            Some((index.checked_mul(element.size()?)?, element))
        }
        (Type::Struct { fields, .. }, _) => {
            field_at(fields, passed).map(|field| (field.offset, &field.value))
        }
        _ => None,
    }
}

fn field_at<'a>(fields: &'a Fields, step: &Step) -> Option<&'a Field> {
    match (fields, step) {
        (Fields::Tuple(fields), Step::Index(index)) => fields.get(*index),
        // If two fields have one name, a value has the last of them.
        (Fields::Named(fields), Step::Name(name)) => fields.iter().rfind(|field| field.name == *name),
        _ => None,
    }
}
