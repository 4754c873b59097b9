//! Codecs without an encoding: the payload is the memory of the value.

use super::{Codec, CodecError, Decode, Direct, Encode, Strategy, type_name_of};
use crate::seqlock::Destination;

/// Plain old data ([`bytemuck::Pod`]): no encoding and no allocation; one copy to publish, one copy
/// to take a snapshot.
///
/// The type name includes the type's size and alignment.
#[derive(Clone, Copy, Debug)]
pub struct Pod;

impl Pod {
    /// The codec's name.
    pub const NAME: &'static str = "pod";
}

#[diagnostic::do_not_recommend]
impl<T: bytemuck::Pod> Codec<T> for Pod {
    const NAME: &'static str = Pod::NAME;

    fn type_name() -> String {
        format!("{} of {} bytes aligned to {}", type_name_of::<T>(), size_of::<T>(), align_of::<T>())
    }

    #[inline]
    fn fixed_len() -> Option<usize> {
        Some(size_of::<T>())
    }
}

#[diagnostic::do_not_recommend]
impl<T: bytemuck::Pod> Encode<T> for Pod {
    #[inline]
    fn encode<'a>(value: &'a T, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(bytemuck::bytes_of(value))
    }
}

#[diagnostic::do_not_recommend]
impl<T: bytemuck::Pod> Decode<T> for Pod {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        bytemuck::try_pod_read_unaligned(payload).map_err(|error| error.to_string().into())
    }

    #[inline(always)]
    fn strategy() -> Strategy<impl Direct<T>> {
        Strategy::Direct(Pod)
    }
}

impl<T: bytemuck::Pod> Direct<T> for Pod {
    #[inline(always)]
    fn blank(&self) -> T {
        T::zeroed()
    }

    fn blank_boxed(&self) -> Box<T> {
        bytemuck::zeroed_box()
    }

    #[inline(always)]
    fn destination(&self, value: &mut T) -> impl Destination {
        Whole(value)
    }
}

/// The memory of a value. The compiler knows its size wherever it is used.
struct Whole<'a, T>(&'a mut T);

impl<T: bytemuck::Pod> Destination for Whole<'_, T> {
    #[inline(always)]
    fn buffer(&mut self, len: usize) -> Option<&mut [u8]> {
        (len == size_of::<T>()).then(|| bytemuck::bytes_of_mut(self.0))
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self.0)
    }
}

/// Raw bytes, for programs that bring their own encoding: they publish `[u8]` or `Vec<u8>`, and
/// take snapshots of `Vec<u8>`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

impl Bytes {
    /// The codec's name.
    pub const NAME: &'static str = "bytes";
}

impl<T: ?Sized> Codec<T> for Bytes {
    const NAME: &'static str = Bytes::NAME;

    /// Readers do not distinguish types of bytes.
    fn type_name() -> String {
        "bytes".into()
    }
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<[u8]> + ?Sized> Encode<T> for Bytes {
    fn encode<'a>(value: &'a T, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(value.as_ref())
    }
}

impl Decode<Vec<u8>> for Bytes {
    fn decode(payload: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(payload.to_vec())
    }

    #[inline(always)]
    fn strategy() -> Strategy<impl Direct<Vec<u8>>> {
        Strategy::Direct(Bytes)
    }
}

impl Direct<Vec<u8>> for Bytes {
    fn blank(&self) -> Vec<u8> {
        Vec::new()
    }

    fn blank_boxed(&self) -> Box<Vec<u8>> {
        Box::default()
    }

    fn destination(&self, value: &mut Vec<u8>) -> impl Destination {
        value
    }
}
