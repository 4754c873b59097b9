//! A schema as bytes: a version, an encoding, and the tree, each type before its contents.
//!
//! Numbers and names are encoded as in Postcard; a type begins with a tag.
//!
//! Decoding is written by hand and not derived with serde. Any program that can create a channel
//! chooses the bytes, so every depth, count and length has a limit, and every error has the offset
//! of the byte that is wrong; errors of a derived `Deserialize` have no offsets. A field has an
//! offset in one of the two encodings only, and the tags of types have a gap, neither of which a
//! derive can express.

use std::collections::HashSet;

use super::tree::{Encoding, Field, Fields, Scalar, Schema, Type, Variant};

/// The first byte of a schema.
const VERSION: u8 = 1;

/// The most bytes of a schema, as of a channel's.
const MAX_BYTES: usize = 64 * 1024;

/// The most levels of nested types.
const MAX_LEVELS: u32 = 64;

/// The most types and variants together.
const MAX_NODES: u32 = 10_000;

/// The most bytes of the name of a type, variant or field.
const MAX_NAME_BYTES: u64 = 256;

/// The tags of types. Lower tags are those of scalars: see [`Scalar::tag`].
mod tag {
    pub(super) const STRING: u8 = 16;
    pub(super) const BYTES: u8 = 17;
    pub(super) const UNIT: u8 = 18;
    pub(super) const SCHEMA: u8 = 19;
    pub(super) const OPTION: u8 = 20;
    pub(super) const SEQUENCE: u8 = 21;
    pub(super) const ARRAY: u8 = 22;
    pub(super) const MAP: u8 = 23;
    pub(super) const STRUCT: u8 = 24;
    pub(super) const ENUM: u8 = 25;

    pub(super) const NO_FIELDS: u8 = 0;
    pub(super) const NEWTYPE: u8 = 1;
    pub(super) const TUPLE: u8 = 2;
    pub(super) const NAMED: u8 = 3;

    pub(super) const POSTCARD: u8 = 0;
    pub(super) const POD: u8 = 1;
}

/// Bytes that are not a schema, or a schema that a channel cannot carry.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema is too long.
    #[error("the schema has {bytes} bytes, the limit is {}: use fewer types", MAX_BYTES)]
    TooLong {
        /// The schema's length in bytes.
        bytes: usize,
    },
    /// Another version of this library wrote the schema.
    #[error(
        "the schema has version {found}, this program knows version {}: use the writer's version",
        VERSION
    )]
    Version {
        /// The version that the schema names.
        found: u8,
    },
    /// The schema ends too early.
    #[error("the schema is cut off at byte {at}")]
    Truncated {
        /// The offset of the value that is incomplete.
        at: usize,
    },
    /// A number or a name is malformed.
    #[error("byte {at} of the schema does not begin a valid number or UTF-8 text")]
    Malformed {
        /// The offset of the number or name.
        at: usize,
    },
    /// The schema has an unknown tag.
    #[error("byte {at} of the schema is {tag}, which is not the tag of a type")]
    UnknownTag {
        /// The tag's offset.
        at: usize,
        /// The unknown tag.
        tag: u8,
    },
    /// A name is too long.
    #[error("a name in the schema has {bytes} bytes, the limit is {}: choose a shorter one", MAX_NAME_BYTES)]
    LongName {
        /// The name's length in bytes.
        bytes: u64,
    },
    /// Two fields of a struct, or two variants of an enum, have the same name.
    #[error(
        "the name that ends at byte {at} of the schema occurs twice: rename one of the fields or variants"
    )]
    SameName {
        /// The offset of the end of the second name.
        at: usize,
    },
    /// The types nest too deep.
    #[error("the schema's types nest deeper than {} levels: use flatter types", MAX_LEVELS)]
    TooDeep,
    /// The schema has too many types.
    #[error("the schema has more than {} types and variants: use fewer types", MAX_NODES)]
    TooManyTypes,
    /// The schema is of plain data, but one of its types is not, or its size exceeds 64 bits.
    #[error("the schema is of plain data, but one of its types is not plain, or its size exceeds 64 bits")]
    NotPlain,
    /// Bytes follow the schema.
    #[error("{bytes} bytes are left over after the schema")]
    Left {
        /// The number of bytes.
        bytes: usize,
    },
}

debug_as_display!(SchemaError);

/// The bytes of a schema.
pub(super) fn encode(schema: &Schema) -> Vec<u8> {
    let encoding = match schema.encoding {
        Encoding::Postcard => tag::POSTCARD,
        Encoding::Pod => tag::POD,
    };
    let mut output = Output { bytes: vec![VERSION, encoding], encoding: schema.encoding };
    output.r#type(&schema.root);
    output.bytes
}

/// The schema of these bytes, within the limits.
pub(super) fn decode(bytes: &[u8]) -> Result<Schema, SchemaError> {
    if bytes.len() > MAX_BYTES {
        return Err(SchemaError::TooLong { bytes: bytes.len() });
    }
    let mut input = Input { cursor: Cursor::new(bytes), encoding: Encoding::Postcard, nodes: 0 };
    match input.step(Cursor::byte)? {
        VERSION => {}
        found => return Err(SchemaError::Version { found }),
    }
    input.encoding = match input.step(Cursor::byte)? {
        tag::POSTCARD => Encoding::Postcard,
        tag::POD => Encoding::Pod,
        tag => return Err(SchemaError::UnknownTag { at: 1, tag }),
    };
    let root = input.r#type(MAX_LEVELS)?;
    if input.cursor.left() > 0 {
        return Err(SchemaError::Left { bytes: input.cursor.left() });
    }
    if input.encoding == Encoding::Pod && root.size().is_none() {
        return Err(SchemaError::NotPlain);
    }
    Ok(Schema { encoding: input.encoding, root })
}

/// The bytes that have been written.
struct Output {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Output {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
            number >>= 7;
        }
        self.bytes.push(u8::try_from(number).unwrap_or_default());
    }

    fn name(&mut self, name: &str) {
        self.number(name.len() as u64);
        self.bytes.extend_from_slice(name.as_bytes());
    }

    fn r#type(&mut self, node: &Type) {
        match node {
            Type::Scalar(scalar) => self.bytes.push(scalar.tag()),
            Type::String => self.bytes.push(tag::STRING),
            Type::Bytes => self.bytes.push(tag::BYTES),
            Type::Unit => self.bytes.push(tag::UNIT),
            Type::Schema => self.bytes.push(tag::SCHEMA),
            Type::Option(inner) => self.tagged(tag::OPTION, inner),
            Type::Sequence(element) => self.tagged(tag::SEQUENCE, element),
            Type::Array { len, element } => {
                self.bytes.push(tag::ARRAY);
                self.number(*len);
                self.r#type(element);
            }
            Type::Map { key, value } => {
                self.tagged(tag::MAP, key);
                self.r#type(value);
            }
            Type::Struct { name, fields } => {
                self.bytes.push(tag::STRUCT);
                self.name(name);
                self.fields(fields);
            }
            Type::Enum { name, variants } => {
                self.bytes.push(tag::ENUM);
                self.name(name);
                self.number(variants.len() as u64);
                for variant in variants {
                    self.name(&variant.name);
                    self.fields(&variant.fields);
                }
            }
        }
    }

    fn tagged(&mut self, tag: u8, inner: &Type) {
        self.bytes.push(tag);
        self.r#type(inner);
    }

    fn fields(&mut self, fields: &Fields) {
        match fields {
            Fields::Unit => self.bytes.push(tag::NO_FIELDS),
            Fields::Newtype(inner) => self.tagged(tag::NEWTYPE, inner),
            Fields::Tuple(fields) => {
                self.bytes.push(tag::TUPLE);
                self.number(fields.len() as u64);
                fields.iter().for_each(|field| self.value(field));
            }
            Fields::Named(fields) => {
                self.bytes.push(tag::NAMED);
                self.number(fields.len() as u64);
                for field in fields {
                    self.name(&field.name);
                    self.value(field);
                }
            }
        }
    }

    fn value(&mut self, field: &Field) {
        if self.encoding == Encoding::Pod {
            self.number(field.offset);
        }
        self.r#type(&field.value);
    }
}

/// The bytes that are being read.
struct Input<'a> {
    cursor: Cursor<'a>,
    encoding: Encoding,
    nodes: u32,
}

impl<'a> Input<'a> {
    fn step<V>(&mut self, step: impl FnOnce(&mut Cursor<'a>) -> Result<V, Fault>) -> Result<V, SchemaError> {
        let at = self.cursor.at();
        step(&mut self.cursor).map_err(|fault| match fault {
            Fault::Short => SchemaError::Truncated { at },
            Fault::Overlong => SchemaError::Malformed { at },
        })
    }

    fn number(&mut self) -> Result<u64, SchemaError> {
        self.step(Cursor::number)
    }

    fn name(&mut self) -> Result<String, SchemaError> {
        let bytes = self.number()?;
        let len = usize::try_from(bytes).ok().filter(|_| bytes <= MAX_NAME_BYTES);
        let len = len.ok_or(SchemaError::LongName { bytes })?;
        let at = self.cursor.at();
        let name = self.step(|cursor| cursor.take(len))?;
        str::from_utf8(name).map(str::to_owned).map_err(|_| SchemaError::Malformed { at })
    }

    /// A name that is not in `names` yet, and is added to them.
    fn new_name(&mut self, names: &mut HashSet<String>) -> Result<String, SchemaError> {
        let name = self.name()?;
        if names.insert(name.clone()) {
            Ok(name)
        } else {
            Err(SchemaError::SameName { at: self.cursor.at() })
        }
    }

    fn count(&mut self) -> Result<(), SchemaError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES { Err(SchemaError::TooManyTypes) } else { Ok(()) }
    }

    /// A type of at most `levels` levels.
    fn r#type(&mut self, levels: u32) -> Result<Type, SchemaError> {
        self.count()?;
        let levels = levels.checked_sub(1).ok_or(SchemaError::TooDeep)?;
        let at = self.cursor.at();
        let tag = self.step(Cursor::byte)?;
        if let Some(scalar) = Scalar::of_tag(tag) {
            return Ok(Type::Scalar(scalar));
        }
        Ok(match tag {
            tag::STRING => Type::String,
            tag::BYTES => Type::Bytes,
            tag::UNIT => Type::Unit,
            tag::SCHEMA => Type::Schema,
            tag::OPTION => Type::Option(Box::new(self.r#type(levels)?)),
            tag::SEQUENCE => Type::Sequence(Box::new(self.r#type(levels)?)),
            tag::ARRAY => Type::Array { len: self.number()?, element: Box::new(self.r#type(levels)?) },
            tag::MAP => {
                Type::Map { key: Box::new(self.r#type(levels)?), value: Box::new(self.r#type(levels)?) }
            }
            tag::STRUCT => Type::Struct { name: self.name()?, fields: self.fields(levels)? },
            tag::ENUM => Type::Enum { name: self.name()?, variants: self.variants(levels)? },
            tag => return Err(SchemaError::UnknownTag { at, tag }),
        })
    }

    /// As many as the number before them says, with the names that they may not have again. Memory
    /// is reserved for those that have been read, not for those that the number claims.
    fn list<V>(
        &mut self,
        mut read: impl FnMut(&mut Self, &mut HashSet<String>) -> Result<V, SchemaError>,
    ) -> Result<Vec<V>, SchemaError> {
        let (count, mut list, mut names) = (self.number()?, Vec::new(), HashSet::new());
        for _ in 0..count {
            list.push(read(self, &mut names)?);
        }
        Ok(list)
    }

    fn variants(&mut self, levels: u32) -> Result<Vec<Variant>, SchemaError> {
        self.list(|input, names| {
            input.count()?;
            Ok(Variant { name: input.new_name(names)?, fields: input.fields(levels)? })
        })
    }

    fn fields(&mut self, levels: u32) -> Result<Fields, SchemaError> {
        let at = self.cursor.at();
        Ok(match self.step(Cursor::byte)? {
            tag::NO_FIELDS => Fields::Unit,
            tag::NEWTYPE => Fields::Newtype(Box::new(self.r#type(levels)?)),
            tag::TUPLE => Fields::Tuple(self.list(|input, _| input.value(String::new(), levels))?),
            tag::NAMED => Fields::Named(self.list(|input, names| {
                let name = input.new_name(names)?;
                input.value(name, levels)
            })?),
            tag => return Err(SchemaError::UnknownTag { at, tag }),
        })
    }

    fn value(&mut self, name: String, levels: u32) -> Result<Field, SchemaError> {
        let offset = match self.encoding {
            Encoding::Postcard => 0,
            Encoding::Pod => self.number()?,
        };
        Ok(Field { name, offset, value: self.r#type(levels)? })
    }
}

/// A position in some bytes. A failed step does not move it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The reason for which a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too few bytes are left.
    Short,
    /// A number has more bits than its type.
    Overlong,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// The distance from the beginning in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The number of bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len).ok_or(Fault::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// Moves to `offset` bytes after `begin`, which may be beyond the end: nothing is left there.
    #[cfg(feature = "dynamic")]
    pub(crate) fn seek(&mut self, begin: usize, offset: u64) {
        self.at = begin.saturating_add(usize::try_from(offset).unwrap_or(usize::MAX));
    }

    /// A number of `bits` bits in groups of seven, the lowest group first. Every byte but the last
    /// has its highest bit set.
    pub(crate) fn varint(&mut self, bits: u32) -> Result<u128, Fault> {
        let mut ahead = *self;
        let mut number = 0;
        let mut shift = 0;
        while shift < bits {
            let byte = ahead.byte()?;
            let group = u128::from(byte & 0x7f);
            if bits - shift < 7 && group >> (bits - shift) != 0 {
                return Err(Fault::Overlong);
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                *self = ahead;
                return Ok(number);
            }
            shift += 7;
        }
        Err(Fault::Overlong)
    }

    /// A number of 64 bits.
    pub(crate) fn number(&mut self) -> Result<u64, Fault> {
        let number = self.varint(u64::BITS)?;
        u64::try_from(number).map_err(|_| Fault::Overlong)
    }
}
