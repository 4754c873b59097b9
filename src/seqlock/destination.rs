//! Where a reader copies a payload to: whole or in part, private to the reader.

/// Private memory of a reader that receives the payload.
pub trait Destination {
    /// The buffer for a payload of `len` bytes (at most the segment's capacity), or for the part of
    /// it that the reader wants; `None` if the destination refuses that length.
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Where in the payload the wanted part begins.
    #[inline]
    fn offset(&self) -> usize {
        0
    }

    /// The bytes of the last copy; if the destination refused the length, as many bytes as it
    /// accepts.
    fn bytes(&self) -> &[u8];
}

/// A part of a payload.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) offset: usize,
    pub(crate) into: &'a mut [u8],
}

impl Destination for Part<'_> {
    /// Accepts any payload that contains the part.
    #[inline]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.offset.checked_add(self.into.len())?;
        (end <= len).then_some(self.into)
    }

    #[inline]
    fn offset(&self) -> usize {
        self.offset
    }

    fn bytes(&self) -> &[u8] {
        self.into
    }
}

/// A buffer whose beginning receives a payload of any length up to its own.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    into: &'a mut [u8],
    /// Length of the last payload; of one that was too long, that of the buffer.
    len: usize,
}

impl<'a> Beginning<'a> {
    #[inline]
    pub(crate) fn of(into: &'a mut [u8]) -> Beginning<'a> {
        Beginning { into, len: 0 }
    }
}

impl Destination for Beginning<'_> {
    #[inline]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        self.len = len.min(self.into.len());
        self.into.get_mut(..len)
    }

    fn bytes(&self) -> &[u8] {
        &self.into[..self.len]
    }
}

impl Destination for &mut Vec<u8> {
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > self.capacity() {
            // The contents will be overwritten: fresh zeroes are cheaper than moving them and
            // zeroing the rest.
            **self = vec![0; len];
        } else {
            self.resize(len, 0);
        }
        Some(self)
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Destination for &mut [u8] {
    /// Accepts exactly its own length.
    #[inline]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        (len == self.len()).then_some(self)
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}
