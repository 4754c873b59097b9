//! The differences between two schemas.

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

/// The first 100 differences between the schemas of a channel and of its reader, of the kinds that
/// `counts` accepts.
pub(super) fn differences(
    channel: &Schema,
    reader: &Schema,
    counts: impl Fn(&DifferenceKind) -> bool,
) -> Vec<Difference> {
    let mut found = Found { encoding: channel.encoding, counts: &counts, differences: Vec::new() };
    if channel.encoding != reader.encoding {
        let kind = DifferenceKind::Encoding { channel: channel.encoding, reader: reader.encoding };
        found.add(Trail::ROOT, || kind);
        return found.differences;
    }
    found.types(&channel.root, &reader.root, Trail::ROOT);
    found.differences
}

/// The differences found so far. In every comparison, the channel's part is the first argument.
struct Found<'a> {
    encoding: Encoding,
    counts: &'a dyn Fn(&DifferenceKind) -> bool,
    differences: Vec<Difference>,
}

/// A field or a variant.
trait Member {
    fn name(&self) -> &str;
    fn summary(&self) -> String;
    fn compare<'a>(&'a self, reader: &'a Self, trail: Trail<'_>, found: &mut Found<'_>);
}

impl Member for Field {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        self.value.to_string()
    }

    fn compare<'a>(&'a self, reader: &'a Self, trail: Trail<'_>, found: &mut Found<'_>) {
        found.offsets([self.offset, reader.offset], trail);
        found.types(&self.value, &reader.value, trail);
    }
}

impl Member for Variant {
    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        "a variant".into()
    }

    fn compare<'a>(&'a self, reader: &'a Self, trail: Trail<'_>, found: &mut Found<'_>) {
        found.fields(&self.fields, &reader.fields, trail);
    }
}

impl Found<'_> {
    /// Calls `kind` only for differences that are reported.
    fn add(&mut self, trail: Trail<'_>, kind: impl FnOnce() -> DifferenceKind) {
        if self.differences.len() >= MAX_DIFFERENCES {
            return;
        }
        let kind = kind();
        if (self.counts)(&kind) {
            self.differences.push(Difference { path: trail.to_string(), kind });
        }
    }

    fn types(&mut self, channel: &Type, reader: &Type, trail: Trail<'_>) {
        match (channel.bare(), reader.bare()) {
            (Type::Option(channel), Type::Option(reader)) => self.types(channel, reader, trail),
            (Type::Sequence(channel), Type::Sequence(reader)) => {
                self.types(channel, reader, trail.each());
            }
            (Type::Array { len, element }, Type::Array { len: other, element: reader }) if len == other => {
                self.types(element, reader, trail.each());
            }
            (Type::Map { key, value }, Type::Map { key: reader_key, value: reader_value }) => {
                self.types(key, reader_key, trail.keys());
                self.types(value, reader_value, trail.each());
            }
            (Type::Struct { fields, .. }, Type::Struct { fields: reader, .. }) => {
                self.fields(fields, reader, trail);
            }
            (Type::Array { len, element }, Type::Struct { fields: Fields::Tuple(fields), .. })
                if *len == fields.len() as u64 =>
            {
                self.elements(element, fields, trail, Side::Channel);
            }
            (Type::Struct { fields: Fields::Tuple(fields), .. }, Type::Array { len, element })
                if *len == fields.len() as u64 =>
            {
                self.elements(element, fields, trail, Side::Reader);
            }
            (Type::Enum { variants, .. }, Type::Enum { variants: reader, .. }) => {
                self.members(variants, reader, trail, Order::Matters);
            }
            (channel, reader) if channel == reader => {}
            (channel, reader) => self.different(|| [channel.to_string(), reader.to_string()], trail),
        }
    }

    /// Compares the elements of an array, which belongs to `side`, with the fields of a tuple.
    fn elements(&mut self, element: &Type, fields: &[Field], trail: Trail<'_>, side: Side) {
        let stride = match self.encoding {
            Encoding::Postcard => 0,
            Encoding::Pod => element.size().unwrap_or(0),
        };
        for (index, field) in fields.iter().enumerate() {
            let trail = trail.index(index);
            let offset = stride.saturating_mul(index as u64);
            let (offsets, types) = match side {
                Side::Channel => ([offset, field.offset], [element, &field.value]),
                Side::Reader => ([field.offset, offset], [&field.value, element]),
            };
            self.offsets(offsets, trail);
            self.types(types[0], types[1], trail);
        }
    }

    fn offsets(&mut self, [channel, reader]: [u64; 2], trail: Trail<'_>) {
        if channel != reader {
            self.add(trail, || DifferenceKind::Offset { channel, reader });
        }
    }

    fn different(&mut self, texts: impl FnOnce() -> [String; 2], trail: Trail<'_>) {
        self.add(trail, || {
            let [channel, reader] = texts();
            DifferenceKind::Type { channel, reader }
        });
    }

    fn fields(&mut self, channel: &Fields, reader: &Fields, trail: Trail<'_>) {
        match (channel, reader) {
            (Fields::Unit, Fields::Unit) => {}
            (Fields::Newtype(channel), Fields::Newtype(reader)) => self.types(channel, reader, trail),
            (Fields::Tuple(channel), Fields::Tuple(reader)) if channel.len() == reader.len() => {
                for (index, (channel, reader)) in channel.iter().zip(reader).enumerate() {
                    channel.compare(reader, trail.index(index), self);
                }
            }
            (Fields::Named(channel), Fields::Named(reader)) => {
                let order = match self.encoding {
                    Encoding::Postcard => Order::Matters,
                    // In plain data, the offset locates a field.
                    Encoding::Pod => Order::IsFree,
                };
                self.members(channel, reader, trail, order);
            }
            (channel, reader) => self.different(|| [channel.summary(), reader.summary()], trail),
        }
    }

    fn members<M: Member>(&mut self, channel: &[M], reader: &[M], trail: Trail<'_>, order: Order) {
        let positions = by_name(reader);
        for (index, member) in channel.iter().enumerate() {
            let trail = trail.name(member.name());
            match positions.get(member.name()).copied() {
                None => self.add(trail, || DifferenceKind::Added { channel: member.summary() }),
                Some(position) => {
                    if position != index && matches!(order, Order::Matters) {
                        self.add(trail, || DifferenceKind::Position { channel: index, reader: position });
                    }
                    member.compare(&reader[position], trail, self);
                }
            }
        }
        let known = by_name(channel);
        for member in reader {
            if !known.contains_key(member.name()) {
                let kind = || DifferenceKind::Missing { reader: member.summary() };
                self.add(trail.name(member.name()), kind);
            }
        }
    }
}

/// The index of each name.
fn by_name<M: Member>(members: &[M]) -> HashMap<&str, usize> {
    members.iter().enumerate().map(|(index, member)| (member.name(), index)).collect()
}

/// The schema to which an array belongs.
#[derive(Clone, Copy)]
enum Side {
    Channel,
    Reader,
}

/// Whether the order of members is part of the format.
#[derive(Clone, Copy)]
enum Order {
    Matters,
    IsFree,
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
