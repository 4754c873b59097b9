//! The differences between two schemas, and the plan that copies plain data of one layout into
//! another layout with the same fields.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::path::Trail;
use super::tree::{Encoding, Field, Fields, Schema, Type, Variant};

/// The most differences that are reported: a person does not read more.
const MAX_DIFFERENCES: usize = 100;

/// One difference between the schema of a channel and that of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The path of the field that differs, as in [`FieldInfo::path`](super::FieldInfo::path); empty
    /// for the state itself.
    pub path: String,
    /// What differs.
    pub kind: DifferenceKind,
}

/// A kind of difference between the schema of a channel and that of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The types differ.
    Type {
        /// The type in the channel.
        channel: String,
        /// The type in the reader.
        reader: String,
    },
    /// The channel does not have the field.
    Missing {
        /// The type that the reader expects.
        reader: String,
    },
    /// The reader does not have the field.
    Added {
        /// The type in the channel.
        channel: String,
    },
    /// The field or variant has another position.
    Position {
        /// The index among the channel's fields or variants.
        channel: usize,
        /// The index among the reader's fields or variants.
        reader: usize,
    },
    /// The field of plain data has another offset.
    Offset {
        /// The offset in the channel's struct, in bytes.
        channel: u64,
        /// The offset in the reader's struct, in bytes.
        reader: u64,
    },
    /// The payloads have different encodings.
    Encoding {
        /// The encoding of the channel.
        channel: Encoding,
        /// The encoding of the reader.
        reader: Encoding,
    },
}

impl Display for Difference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str("the state: ")?,
            path => write!(formatter, "{path}: ")?,
        }
        match &self.kind {
            DifferenceKind::Type { channel, reader } => {
                write!(formatter, "{channel} in the channel, {reader} in the reader")
            }
            DifferenceKind::Missing { reader } => {
                write!(formatter, "missing in the channel, {reader} in the reader")
            }
            DifferenceKind::Added { channel } => {
                write!(formatter, "added in the channel ({channel}), unknown to the reader")
            }
            DifferenceKind::Position { channel, reader } => {
                write!(formatter, "number {channel} in the channel, number {reader} in the reader")
            }
            DifferenceKind::Offset { channel, reader } => {
                write!(formatter, "at byte {channel} in the channel, at byte {reader} in the reader")
            }
            DifferenceKind::Encoding { channel, reader } => {
                write!(formatter, "encoded as {channel:?} by the channel, as {reader:?} by the reader")
            }
        }
    }
}

/// Bytes that are copied from a payload into a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) len: usize,
}

/// The first 100 differences between the schemas of a channel and of its reader.
pub(super) fn differences(channel: &Schema, reader: &Schema) -> Vec<Difference> {
    let mut found = Comparison { encoding: channel.encoding, moves: None, differences: Vec::new() };
    if channel.encoding == reader.encoding {
        found.types([&channel.root, &reader.root], [0; 2], Trail::ROOT);
    } else {
        found.differences.push(encodings(channel, reader));
    }
    found.differences
}

/// The copies that make a value of `reader` from a payload of `channel`: each field of the reader
/// is found by its name. The channel may have more fields, at other offsets.
///
/// # Errors
///
/// The fields that the channel does not have, or has with another type.
pub(crate) fn plan(channel: &Schema, reader: &Schema) -> Result<Vec<Move>, Vec<Difference>> {
    // Below, no sum of offsets exceeds the size.
    if [channel, reader].iter().any(|schema| schema.fixed_len().is_none()) {
        return Err(vec![encodings(channel, reader)]);
    }
    let mut found = Comparison { encoding: Encoding::Pod, moves: Some(Vec::new()), differences: Vec::new() };
    found.types([&channel.root, &reader.root], [0; 2], Trail::ROOT);
    match found.differences.is_empty() {
        true => Ok(in_order(found.moves.unwrap_or_default())),
        false => Err(found.differences),
    }
}

fn encodings(channel: &Schema, reader: &Schema) -> Difference {
    let kind = DifferenceKind::Encoding { channel: channel.encoding, reader: reader.encoding };
    Difference { path: String::new(), kind }
}

/// The name of a field of plain data whose bytes mean nothing: those at the end of a struct that
/// belong to no member. A plan does not look for a reader's field of this name.
pub const PADDING: &str = "_padding";

/// A part of each schema: the channel's, and the reader's, which is compared with it.
type Both<V> = [V; 2];

/// The offset and the type of a field or an element.
type Part<'a> = (u64, &'a Type);

/// What a walk through both schemas has found so far.
struct Comparison {
    encoding: Encoding,
    /// For a plan: where the parts that are equal are in plain data. Fields that only the channel
    /// has, and other offsets, are no differences then.
    moves: Option<Vec<Move>>,
    differences: Vec<Difference>,
}

impl Comparison {
    /// Calls `kind` only for differences that are reported.
    fn add(&mut self, trail: Trail<'_>, kind: impl FnOnce() -> DifferenceKind) {
        if self.differences.len() >= MAX_DIFFERENCES {
            return;
        }
        let kind = kind();
        let is_free = matches!(kind, DifferenceKind::Added { .. } | DifferenceKind::Offset { .. });
        if self.moves.is_none() || !is_free {
            self.differences.push(Difference { path: trail.to_string(), kind });
        }
    }

    fn different(&mut self, texts: impl FnOnce() -> Both<String>, trail: Trail<'_>) {
        self.add(trail, || {
            let [channel, reader] = texts();
            DifferenceKind::Type { channel, reader }
        });
    }

    /// Compares two types, which are at the offsets `at`.
    fn types(&mut self, types: Both<&Type>, at: Both<u64>, trail: Trail<'_>) {
        let [channel, reader] = types.map(Type::bare);
        match (channel, reader) {
            (same, other) if self.moves.is_some() && same == other => {
                self.copy(at, same.size().unwrap_or(0));
            }
            (Type::Option(channel), Type::Option(reader)) => self.types([channel, reader], at, trail),
            (Type::Sequence(channel), Type::Sequence(reader)) => {
                self.types([channel, reader], at, trail.each());
            }
            (Type::Array { len, element }, Type::Array { len: other, element: reader }) if len == other => {
                self.elements(*len, [element, reader], at, trail.each());
            }
            (Type::Map { key, value }, Type::Map { key: reader_key, value: reader_value }) => {
                self.types([key, reader_key], at, trail.keys());
                self.types([value, reader_value], at, trail.each());
            }
            (Type::Struct { fields, .. }, Type::Struct { fields: reader, .. }) => {
                self.fields([fields, reader], at, trail);
            }
            // A tuple of equal types is an array.
            (Type::Array { len, element }, Type::Struct { fields: Fields::Tuple(fields), .. })
                if *len == fields.len() as u64 =>
            {
                self.positions(self.parts_of_array(element, *len), parts_of_tuple(fields), at, trail);
            }
            (Type::Struct { fields: Fields::Tuple(fields), .. }, Type::Array { len, element })
                if *len == fields.len() as u64 =>
            {
                self.positions(parts_of_tuple(fields), self.parts_of_array(element, *len), at, trail);
            }
            (Type::Enum { variants, .. }, Type::Enum { variants: reader, .. }) => {
                let members = [variants, reader].map(|it| it.iter().map(Variant::member).collect());
                let summary = |_| "a variant".into();
                self.members(members, trail, summary, |found, fields, trail| {
                    found.fields(fields, at, trail);
                });
            }
            (channel, reader) if channel == reader => {}
            (channel, reader) => self.different(|| [channel, reader].map(Type::to_string), trail),
        }
    }

    /// Compares the elements of two arrays of the same length: one pair for all.
    fn elements(&mut self, len: u64, elements: Both<&Type>, at: Both<u64>, trail: Trail<'_>) {
        let before = self.moves.as_ref().map_or(0, Vec::len);
        self.types(elements, at, trail);
        let Some(moves) = &mut self.moves else { return };
        let one = in_order(moves.split_off(before));
        if one.is_empty() {
            return;
        }
        let [from, to] = elements.map(|element| index_of(element.size().unwrap_or(0)));
        // Not joined with what precedes the array: an array around this one repeats only its own.
        let mut all = Vec::new();
        for index in 0..index_of(len) {
            for Move { from: first, to: first_to, len } in &one {
                join(&mut all, Move { from: first + index * from, to: first_to + index * to, len: *len });
            }
        }
        moves.append(&mut all);
    }

    fn parts_of_array<'a>(&self, element: &'a Type, len: u64) -> Vec<Part<'a>> {
        let stride = match self.encoding {
            Encoding::Postcard => 0,
            Encoding::Pod => element.size().unwrap_or(0),
        };
        (0..len).map(|index| (stride.saturating_mul(index), element)).collect()
    }

    /// Compares parts that have the same index.
    fn positions(&mut self, channel: Vec<Part<'_>>, reader: Vec<Part<'_>>, at: Both<u64>, trail: Trail<'_>) {
        for (index, (channel, reader)) in channel.into_iter().zip(reader).enumerate() {
            self.part([channel, reader], at, trail.index(index));
        }
    }

    fn part(&mut self, parts: Both<Part<'_>>, at: Both<u64>, trail: Trail<'_>) {
        let [channel, reader] = parts.map(|(offset, _)| offset);
        if channel != reader {
            self.add(trail, || DifferenceKind::Offset { channel, reader });
        }
        let at = [at[0].saturating_add(channel), at[1].saturating_add(reader)];
        self.types(parts.map(|(_, node)| node), at, trail);
    }

    fn fields(&mut self, [channel, reader]: Both<&Fields>, at: Both<u64>, trail: Trail<'_>) {
        match (channel, reader) {
            (Fields::Unit, Fields::Unit) => {}
            (Fields::Newtype(channel), Fields::Newtype(reader)) => self.types([channel, reader], at, trail),
            (Fields::Tuple(channel), Fields::Tuple(reader)) if channel.len() == reader.len() => {
                self.positions(parts_of_tuple(channel), parts_of_tuple(reader), at, trail);
            }
            (Fields::Named(channel), Fields::Named(reader)) => {
                let mut members: Both<Vec<_>> =
                    [channel, reader].map(|it| it.iter().map(Field::member).collect());
                if self.moves.is_some() {
                    members[1].retain(|(name, _)| *name != PADDING);
                }
                let summary = |(_, node): Part<'_>| node.to_string();
                self.members(members, trail, summary, |found, parts, trail| {
                    found.part(parts, at, trail);
                });
            }
            (channel, reader) => self.different(|| [channel, reader].map(Fields::summary), trail),
        }
    }

    /// Compares members by their names. In plain data the offset locates a field, in Postcard its
    /// position does.
    fn members<M: Copy>(
        &mut self,
        [channel, reader]: Both<Vec<(&str, M)>>,
        trail: Trail<'_>,
        summary: impl Fn(M) -> String,
        compare: impl Fn(&mut Self, Both<M>, Trail<'_>),
    ) {
        let positions = by_name(&reader);
        for (index, (name, member)) in channel.iter().enumerate() {
            let trail = trail.name(name);
            let Some(position) = positions.get(name).copied() else {
                self.add(trail, || DifferenceKind::Added { channel: summary(*member) });
                continue;
            };
            if position != index && self.encoding == Encoding::Postcard {
                self.add(trail, || DifferenceKind::Position { channel: index, reader: position });
            }
            compare(self, [*member, reader[position].1], trail);
        }
        let known = by_name(&channel);
        for (name, member) in reader.iter().filter(|(name, _)| !known.contains_key(name)) {
            self.add(trail.name(name), || DifferenceKind::Missing { reader: summary(*member) });
        }
    }

    /// Notes bytes that are the same in both.
    fn copy(&mut self, [from, to]: Both<u64>, len: u64) {
        if let Some(moves) = self.moves.as_mut().filter(|_| len > 0) {
            moves.push(Move { from: index_of(from), to: index_of(to), len: index_of(len) });
        }
    }
}

/// The index of each name.
fn by_name<'a, M>(members: &[(&'a str, M)]) -> HashMap<&'a str, usize> {
    members.iter().enumerate().map(|(index, (name, _))| (*name, index)).collect()
}

fn parts_of_tuple(fields: &[Field]) -> Vec<Part<'_>> {
    fields.iter().map(|field| field.member().1).collect()
}

impl Field {
    fn member(&self) -> (&str, Part<'_>) {
        (&self.name, (self.offset, &self.value))
    }
}

impl Variant {
    fn member(&self) -> (&str, &Fields) {
        (&self.name, &self.fields)
    }
}

/// Moves in the order of their targets; neighbours become one.
fn in_order(mut moves: Vec<Move>) -> Vec<Move> {
    moves.sort_unstable_by_key(|one| one.to);
    let mut joined = Vec::new();
    moves.into_iter().for_each(|one| join(&mut joined, one));
    joined
}

/// Adds a move, or extends the last one if the bytes follow one another.
fn join(moves: &mut Vec<Move>, Move { from, to, len }: Move) {
    match moves.last_mut() {
        Some(last) if last.from + last.len == from && last.to + last.len == to => last.len += len,
        _ => moves.push(Move { from, to, len }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "64-bit targets only")]
fn index_of(number: u64) -> usize {
    number as usize
}

impl Fields {
    fn summary(&self) -> String {
        match self {
            Fields::Unit => "no fields".into(),
            Fields::Newtype(inner) => inner.to_string(),
            Fields::Tuple(fields) => format!("{} values by position", fields.len()),
            Fields::Named(fields) => format!("{} named fields", fields.len()),
        }
    }
}
