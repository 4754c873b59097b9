//! Bytes in the encoding of Postcard: a cursor over them, and samples of what a schema describes.

use super::tree::{Fields, Scalar, Type};

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

/// The most values in a sample.
const MAX_VALUES: usize = 1 << 16;

/// The most samples of one schema.
const MAX_SAMPLES: usize = 256;

/// Payloads of `root` that have each variant of each enum, one element in each list, and no number
/// that is zero. None if they had too many values.
pub(crate) fn samples(root: &Type) -> Vec<Vec<u8>> {
    let mut samples = Vec::new();
    let mut variants = 1;
    while samples.len() < variants.min(MAX_SAMPLES) {
        let mut sample = Sample { bytes: Vec::new(), number: samples.len(), variants, left: MAX_VALUES };
        if sample.write(root).is_none() {
            return Vec::new();
        }
        variants = sample.variants;
        samples.push(sample.bytes);
    }
    samples
}

struct Sample {
    bytes: Vec<u8>,
    number: usize,
    /// The variants of the enum that has the most of those seen so far.
    variants: usize,
    /// The values that may follow.
    left: usize,
}

impl Sample {
    fn write(&mut self, node: &Type) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        match node {
            Type::Scalar(Scalar::F32) => self.bytes.extend(1_f32.to_le_bytes()),
            Type::Scalar(Scalar::F64) => self.bytes.extend(1_f64.to_le_bytes()),
            Type::Scalar(Scalar::Char) | Type::String | Type::Bytes => self.bytes.extend([1, b'1']),
            Type::Scalar(Scalar::Bool) => self.bytes.push(1),
            // No zero, and a length that is too large where a text is read instead.
            Type::Scalar(_) => self.bytes.push(b'1'),
            Type::Unit => {}
            Type::Schema => return None,
            Type::Option(inner) | Type::Sequence(inner) => {
                self.bytes.push(1);
                self.write(inner)?;
            }
            Type::Array { len, element } => (0..*len).try_for_each(|_| self.write(element))?,
            Type::Map { key, value } => {
                self.bytes.push(1);
                self.write(key)?;
                self.write(value)?;
            }
            Type::Struct { fields, .. } => self.fields(fields)?,
            Type::Enum { variants, .. } => {
                self.variants = self.variants.max(variants.len());
                let index = self.number.checked_rem(variants.len())?;
                match u8::try_from(index).ok()? {
                    low @ 0..0x80 => self.bytes.push(low),
                    high => self.bytes.extend([high, 1]),
                }
                self.fields(&variants[index].fields)?;
            }
        }
        Some(())
    }

    fn fields(&mut self, fields: &Fields) -> Option<()> {
        match fields {
            Fields::Unit => Some(()),
            Fields::Newtype(inner) => self.write(inner),
            Fields::Tuple(fields) | Fields::Named(fields) => {
                fields.iter().try_for_each(|field| self.write(&field.value))
            }
        }
    }
}
