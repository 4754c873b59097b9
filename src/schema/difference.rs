//! How two schemas differ.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use super::field::Trail;
use super::{Encoding, Field, Fields, Schema, Type, Variant};

/// Most differences that are told: more help nobody.
const MAX_DIFFERENCES: usize = 100;

/// One way in which the schema of a channel is not that of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Where, as [`FieldInfo::path`](super::FieldInfo::path) writes it; empty for the state itself.
    pub path: String,
    /// What.
    pub kind: DifferenceKind,
}

/// What differs between the schema of a channel and that of its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The types differ.
    Type {
        /// The channel's.
        channel: String,
        /// The reader's.
        reader: String,
    },
    /// The channel has none.
    Missing {
        /// What the reader expects.
        reader: String,
    },
    /// The reader knows none.
    Added {
        /// What the channel has.
        channel: String,
    },
    /// The same field or variant stands elsewhere.
    Position {
        /// The channel's index among its fields or variants.
        channel: usize,
        /// The reader's.
        reader: usize,
    },
    /// The same field of plain data stands elsewhere.
    Offset {
        /// The channel's, in bytes from the beginning of its struct.
        channel: u64,
        /// The reader's.
        reader: u64,
    },
    /// The payloads are of different encodings.
    Encoding {
        /// The channel's.
        channel: Encoding,
        /// The reader's.
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

impl Schema {
    /// How this schema, the channel's, differs from the one that its `reader` was compiled with: nothing if payloads
    /// mean the same to both. At most 100 differences are told.
    ///
    /// Names of types don't count, nor whether a value is wrapped into a newtype: they don't change what is published.
    /// Names of fields and variants do, because a field of another name is taken for another field.
    ///
    /// Cost: a look at each type of both, and texts for each difference that is told; where one has arrays of arrays and
    /// the other tuples, the product of their types.
    #[must_use]
    pub fn differences(&self, reader: &Schema) -> Vec<Difference> {
        self.differences_that(reader, |_| true)
    }

    /// The first 100 of those that count.
    pub(super) fn differences_that(
        &self,
        reader: &Schema,
        counts: impl Fn(&DifferenceKind) -> bool,
    ) -> Vec<Difference> {
        let mut found = Found { encoding: self.encoding, counts: &counts, differences: Vec::new() };
        if self.encoding != reader.encoding {
            let kind = DifferenceKind::Encoding { channel: self.encoding, reader: reader.encoding };
            found.add(Trail::Root, || kind);
            return found.differences;
        }
        found.types(&self.root, &reader.root, Trail::Root);
        found.differences
    }
}

/// What has been found so far. In every comparison, the channel's comes first.
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
    /// `kind` is only asked for what is told.
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
                self.types(channel, reader, Trail::Each(&trail));
            }
            (Type::Array { len, element }, Type::Array { len: other, element: reader }) if len == other => {
                self.types(element, reader, Trail::Each(&trail));
            }
            (Type::Map { key, value }, Type::Map { key: reader_key, value: reader_value }) => {
                self.types(key, reader_key, Trail::Keys(&trail));
                self.types(value, reader_value, Trail::Each(&trail));
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
                self.members(variants, reader, trail, Order::Counts);
            }
            (channel, reader) if channel == reader => {}
            (channel, reader) => self.different(|| [channel.to_string(), reader.to_string()], trail),
        }
    }

    /// The elements of an array, which is the `side`'s, and a tuple of as many.
    fn elements(&mut self, element: &Type, fields: &[Field], trail: Trail<'_>, side: Side) {
        let stride = match self.encoding {
            Encoding::Postcard => 0,
            Encoding::Pod => element.size().unwrap_or(0),
        };
        for (index, field) in fields.iter().enumerate() {
            let trail = Trail::Position(&trail, index);
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
                    channel.compare(reader, Trail::Position(&trail, index), self);
                }
            }
            (Fields::Named(channel), Fields::Named(reader)) => {
                let order = match self.encoding {
                    Encoding::Postcard => Order::Counts,
                    // The offset says where a field is.
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
            let trail = Trail::Name(&trail, member.name());
            match positions.get(member.name()).copied() {
                None => self.add(trail, || DifferenceKind::Added { channel: member.summary() }),
                Some(position) => {
                    if position != index && matches!(order, Order::Counts) {
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
                self.add(Trail::Name(&trail, member.name()), kind);
            }
        }
    }
}

/// Where the members of each name stand.
fn by_name<M: Member>(members: &[M]) -> HashMap<&str, usize> {
    members.iter().enumerate().map(|(index, member)| (member.name(), index)).collect()
}

/// Whose array it is.
#[derive(Clone, Copy)]
enum Side {
    Channel,
    Reader,
}

/// Whether the order of members says where they are.
#[derive(Clone, Copy)]
enum Order {
    Counts,
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
