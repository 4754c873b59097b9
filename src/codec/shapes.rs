//! What a writer knows of the types that it encodes.
//!
//! *Shapes* are the parts of a state that another state of its type need not have: each variant of
//! an enum, each type in an option, a sequence or a map, and each number of fields without names.
//! The process remembers those that are known to be carried. Serde tells a codec too little to know
//! that in advance, so for Postcard the writer decodes a state with a new shape before it publishes
//! it, in a *trial*, which compares what was written with what was asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::Name;

/// What was noted while a state was encoded.
#[derive(Default)]
pub(super) struct Record {
    /// Shapes that are not known to be readable.
    pub(super) shapes: Vec<Shape>,
    /// In a trial, each value with fields.
    groups: Vec<Group>,
    /// In a trial, each variant with its enum.
    pub(super) variants: Vec<(Name, Name)>,
    /// In a trial, what was written.
    pub(super) kinds: Kinds,
}

/// A value with fields, that is of a struct, or of a variant of an enum.
#[derive(PartialEq, Eq, Hash)]
struct Group {
    /// The name of the struct or the enum.
    name: Name,
    /// Empty in a struct.
    variant: Name,
    /// The name of each field, which is empty in a tuple, and the sum of its bytes.
    fields: Vec<(Name, u64)>,
}

/// In a trial, what a type asked its deserializer for.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) groups: Vec<AskedGroup>,
    /// The enum that was asked for last, and the number of kinds when it was.
    pub(super) enumeration: (Name, usize),
    pub(super) kinds: Kinds,
}

/// The name of a struct or an enum, the names of its fields in their order (each `alias` is beside
/// its field; a tuple has none), and their number.
type AskedGroup = (Name, &'static [Name], usize);

/// How many values a trial notes, so that a long list costs no memory.
const MAX_NOTES: usize = 1 << 16;

/// What Postcard writes, in its order: the kind of each value that has no other values in it, a
/// `length` before elements and entries, an `option`, a `variant`.
#[derive(Default)]
pub(super) struct Kinds(pub(super) Vec<&'static str>);

impl Kinds {
    pub(super) fn push(&mut self, kind: &'static str) {
        if self.0.len() < MAX_NOTES {
            self.0.push(kind);
        }
    }
}

impl Record {
    /// Notes a value whose fields come next. Returns their place for `field`.
    pub(super) fn group(&mut self, name: Name, variant: Name) -> usize {
        if self.groups.len() < MAX_NOTES {
            self.groups.push(Group { name, variant, fields: Vec::new() });
            return self.groups.len();
        }
        0
    }

    pub(super) fn field(&mut self, group: usize, name: Name, bytes: &[u8]) {
        if let Some(group) = self.groups.get_mut(group.wrapping_sub(1)) {
            group.fields.push((name, sum(bytes)));
        }
    }
}

/// A sum that does not depend on the order of a map's entries.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_add((u64::from(*byte) + 1).pow(7)))
}

/// Kinds that readers can't tell from each other. Each has all values of those before it.
#[cfg(feature = "postcard")]
const FAMILIES: [&str; 6] =
    ["bool i8 u8", "u16 u32 u64 u128", "i16 i32 i64 i128", "f32", "f64", "char str bytes"];

#[cfg(feature = "postcard")]
impl Group {
    fn title(&self) -> String {
        [self.name, self.variant].join("::").trim_end_matches("::").into()
    }

    /// How the fields differ from those that the reader asked for, as text, and whether that alone
    /// is a reason to refuse: a field that is only read takes bytes of the next one, which a trial
    /// notices, unless it has no bytes.
    fn other_fields(&self, names: &[Name], asked: usize) -> Option<(String, bool)> {
        let (title, fields, len) = (self.title(), &self.fields, self.fields.len());
        let unread = fields.iter().map(|field| &field.0).find(|name| !names.contains(name));
        let unwritten = names.iter().find(|name| fields.iter().all(|field| field.0 != **name));
        // Names that only the reader knows may be before a field's own.
        let may_be = |at| names.get(at..=at + names.len().saturating_sub(len)).unwrap_or(names);
        let mut known = fields.iter().enumerate().filter(|(_, (name, _))| names.contains(name));
        let is_moved = unread.is_some() && known.any(|(at, (name, _))| !may_be(at).contains(name));
        if len == asked && !is_moved {
            return None;
        }
        let is_read = len < asked && !is_moved;
        let (field, skipped) = match is_read {
            true => (unwritten, "written (`skip_serializing`)"),
            // Only some values tell these two from each other.
            false => (unread, "read (`skip_deserializing`, or `rename` to another field's name)"),
        };
        let text = match field.filter(|field| !field.is_empty()) {
            Some(field) => format!(
                "field `{field}` of `{title}` is skipped when it is {skipped}, and only then, which Postcard can't: use \
                 `#[serde(skip)]`, or the codec `MessagePack`"
            ),
            None => format!(
                "`{title}` is written with {len} values and read with {asked}: a field without a name is skipped \
                 (`skip_serializing_if`, `skip_serializing`, `skip_deserializing`): remove the attribute, or use \
                 `#[serde(skip)]`"
            ),
        };
        Some((text, !is_read))
    }

    /// Whether a field was read as another one: `again` is what the read value is written as.
    fn is_shifted(&self, again: &Group, names: &[Name]) -> bool {
        let (one, other) = (&self.fields, &again.fields);
        let is_same_type = (self.name, self.variant, one.len()) == (again.name, again.variant, other.len());
        let mut changed = (0..one.len()).filter(|at| is_same_type && one[*at] != other[*at]);
        changed.any(|at| match names {
            [] => one.get(at + 1) == Some(&other[at]) || at > 0 && one[at - 1] == other[at],
            // The name says that it is the same field, unless each side has its own name.
            names => !names.contains(&one[at].0),
        })
    }
}

#[cfg(feature = "postcard")]
impl Record {
    /// Each group with what its reader asked for. Types may also serialize as a struct and
    /// deserialize as something else.
    fn groups<'a>(&'a self, asked: &'a Asked) -> impl Iterator<Item = (&'a Group, &'a AskedGroup)> {
        self.groups.iter().zip(&asked.groups).take_while(|(one, other)| one.name == other.0)
    }

    /// The first group whose fields differ from those that its reader asked for, as text, and
    /// whether that alone is a reason to refuse.
    pub(super) fn other_fields(&self, asked: &Asked) -> Option<(String, bool)> {
        let others = self.groups(asked).filter_map(|(group, asked)| group.other_fields(asked.1, asked.2));
        others.reduce(|one, other| if other.1 && !one.1 { other } else { one })
    }

    /// A group with a field that is read as another one, as text. `again` is the record of the
    /// value that was read, whose maps may have another order.
    pub(super) fn shifted(&self, again: &Record, asked: &Asked) -> Option<String> {
        let known: std::collections::HashSet<&Group> = again.groups.iter().collect();
        let mut pairs = self.groups(asked).zip(&again.groups).filter(|((one, _), _)| !known.contains(one));
        let ((group, _), _) = pairs.find(|((one, asked), other)| one.is_shifted(other, asked.1))?;
        Some(format!(
            "a field of `{}` is read as another one, perhaps because one is skipped when it is written \
             (`skip_serializing`) and one when it is read (`skip_deserializing`): use `#[serde(skip)]`",
            group.title()
        ))
    }

    /// A variant that is read as another one.
    pub(super) fn other_variant(&mut self, read: &mut Record) -> Option<String> {
        self.variants.sort_unstable();
        read.variants.sort_unstable();
        let ((name, written), (_, read)) =
            self.variants.iter().zip(&read.variants).find(|(one, other)| one != other)?;
        Some(format!(
            "variant `{written}` of `{name}` is read as `{read}`: a variant that is skipped changes the numbers of \
             those after it, so let it be the last one, or use the codec `MessagePack`"
        ))
    }

    /// A value that readers ask for as another kind, which does not have all values of this one. A
    /// variant may be another kind of number if it `is_same` when it is written again.
    pub(super) fn other_kind(&self, asked: &Asked, is_same: bool) -> Option<String> {
        let is_readable = |written: &str, read: &str| {
            let rank = |family: &str, kind| family.split(' ').position(|it| it == kind);
            let is_in = |family| rank(family, written).is_some_and(|it| Some(it) <= rank(family, read));
            let is_number = |kind| rank("variant bool i8 u8 u16 u32 u64 u128", kind).is_some();
            let is_same =
                is_same && [written, read].contains(&"variant") && is_number(written) && is_number(read);
            written == read || is_same || FAMILIES.into_iter().any(is_in)
        };
        let mut pairs = self.kinds.0.iter().zip(&asked.kinds.0);
        let (written, read) = pairs.find(|(written, read)| !is_readable(written, read))?;
        // A list of bytes may be read as bytes, and the other way round.
        let is_list = matches!((*written, *read), ("length", "bytes" | "str") | ("bytes" | "str", "length"));
        (!is_list)
            .then(|| format!("a value is written as `{written}` and read as `{read}`: use one type for both"))
    }
}

/// A type, or a variant of an enum: the type's number, and the variant's.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Shape(u64);

/// Shapes that a reader was found to decode, in sets of four by their hash. A lost entry costs
/// another trial.
static READABLE: [AtomicU64; 1 << (SET_BITS + 2)] = [const { AtomicU64::new(0) }; 1 << (SET_BITS + 2)];

const SET_BITS: u32 = 10;

impl Shape {
    pub(super) const NONE: Shape = Shape(0);

    /// The type of this number, or a variant of it.
    #[inline(always)]
    pub(super) fn new(number: u64, variant: Option<u32>) -> Shape {
        Shape(number << 16 | variant.map_or(0, |variant| u64::from(variant.min(0xfffe)) + 1))
    }

    /// This type or variant, with `len` values that have no names. Two types in one
    /// `dyn` or `untagged` enum differ by their `name`.
    #[inline(always)]
    pub(super) fn with_values(self, name: Name, len: usize, is_message_pack: bool) -> Shape {
        let values = name.as_ptr().addr() as u64 ^ (len as u64) << 48 ^ u64::from(is_message_pack) << 63;
        Shape(self.0 ^ values.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    #[inline(always)]
    fn set(self) -> &'static [AtomicU64] {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the shape.
        let hash = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SET_BITS);
        let begin = (hash as usize & ((1 << SET_BITS) - 1)) * 4;
        &READABLE[begin..begin + 4]
    }

    /// Relaxed: an entry is a number that says all. No other memory is read because of it.
    #[inline(always)]
    pub(super) fn is_readable(self) -> bool {
        self.set().iter().any(|entry| entry.load(Ordering::Relaxed) == self.0)
    }

    /// Relaxed, as above.
    pub(super) fn forget(self) {
        for entry in self.set() {
            // An entry that another thread has replaced stays.
            _ = entry.compare_exchange(self.0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Relaxed, as above. Two threads that take the same free entry lose one of their shapes.
    pub(super) fn set_readable(self) {
        let set = self.set();
        let free = set.iter().find(|entry| entry.load(Ordering::Relaxed) == 0);
        let taken = &set[(self.0 >> 20 & 3) as usize];
        free.unwrap_or(taken).store(self.0, Ordering::Relaxed);
    }
}
