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
    /// In a trial, each struct with the fields that it wrote.
    pub(super) structs: Vec<(String, Vec<Name>)>,
    /// In a trial, each variant with its enum.
    pub(super) variants: Vec<(Name, Name)>,
    /// In a trial, the kind of each value without other values in it.
    pub(super) kinds: Kinds,
}

/// In a trial, what a type asked its deserializer for.
#[derive(Default)]
pub(super) struct Asked {
    /// Structs and their fields.
    pub(super) structs: Vec<(Name, &'static [Name])>,
    pub(super) kinds: Kinds,
}

/// How Postcard writes each value that has no other values in it: the first ones, so that a long
/// list costs no memory, and the number of all.
#[derive(Default)]
pub(super) struct Kinds {
    first: Vec<&'static str>,
    count: usize,
}

impl Kinds {
    pub(super) fn push(&mut self, kind: &'static str) {
        self.count += 1;
        if self.first.len() < 1 << 16 {
            self.first.push(kind);
        }
    }
}

/// Kinds that readers can't tell from each other. Each has all values of those before it.
#[cfg(feature = "postcard")]
const FAMILIES: [&str; 6] =
    ["bool i8 u8", "u16 u32 u64 u128", "i16 i32 i64 i128", "f32", "f64", "char str bytes"];

#[cfg(feature = "postcard")]
impl Record {
    /// The first struct whose fields differ from those that its reader asked for, as text, and
    /// whether that alone is a reason to refuse: a field that is only read takes bytes of the next
    /// one, which a trial notices, unless it has no bytes.
    pub(super) fn other_fields(&self, asked: &Asked) -> Option<(String, bool)> {
        let pairs = self.structs.iter().zip(&asked.structs);
        // Types may also serialize as a struct and deserialize as something else.
        let mut pairs = pairs.take_while(|((name, _), (asked, _))| asked.is_empty() || name == asked);
        let ((name, written), (_, read)) =
            pairs.find(|((_, written), (_, read))| written.len() != read.len())?;
        let is_more = written.len() > read.len();
        let (all, others, skipped) = match is_more {
            true => (&written[..], *read, "when it is read (`skip_deserializing`)"),
            false => (*read, &written[..], "when it is written (`skip_serializing`)"),
        };
        let field = all.iter().find(|field| !others.contains(field)).unwrap_or(&"");
        let text = format!(
            "field `{field}` of `{name}` is skipped {skipped}, and only then, which Postcard can't: use \
             `#[serde(skip)]`, or the codec `MessagePack`"
        );
        Some((text, is_more))
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

    /// A value that readers ask for as another kind, which does not have all values of this one.
    pub(super) fn other_kind(&self, asked: &Asked) -> Option<String> {
        let is_readable = |written: &str, read: &str| {
            let rank = |family: &str, kind| family.split(' ').position(|it| it == kind);
            FAMILIES
                .iter()
                .any(|family| rank(family, written).is_some_and(|it| Some(it) <= rank(family, read)))
        };
        // Readers may ask for a list where bytes are written: then the numbers differ.
        let (written, read) = (&self.kinds, &asked.kinds);
        let mut pairs = written.first.iter().zip(&read.first).filter(|_| written.count == read.count);
        let (written, read) = pairs.find(|(written, read)| !is_readable(written, read))?;
        Some(format!("a value is written as `{written}` and read as `{read}`: use one type for both"))
    }
}

/// A type, or a variant of an enum: the address of the type's name, and the variant's number. Two
/// types of one name, as in two versions of a crate, may have one shape: then only readers notice
/// what is wrong with the second.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Shape(u64);

/// Shapes that a reader was found to decode, in sets of four by their hash. A lost entry costs
/// another trial.
static READABLE: [AtomicU64; 1 << (SET_BITS + 2)] = [const { AtomicU64::new(0) }; 1 << (SET_BITS + 2)];

const SET_BITS: u32 = 10;

impl Shape {
    pub(super) const NONE: Shape = Shape(0);

    /// The type whose name is at `address`, or a variant of it.
    #[inline(always)]
    pub(super) fn new(address: u64, variant: Option<u32>) -> Shape {
        Shape(address << 16 | variant.map_or(0, |variant| u64::from(variant.min(0xfffe)) + 1))
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
