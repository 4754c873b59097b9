//! A cursor over bytes in the encoding of Postcard.

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
