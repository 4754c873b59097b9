//! Plain old data: the bytes of the value are the payload.

use super::{Codec, CodecError, Decode, Encode, type_name_of};
use crate::seqlock::Destination;

/// Plain old data ([`bytemuck::Pod`]): no encoding, no allocation; one copy to publish, one to take a snapshot.
///
/// The type name is followed by the type's size and alignment.
#[derive(Clone, Copy, Debug)]
pub struct Pod;

impl Codec for Pod {
    const NAME: &'static str = "pod";
}

impl<T: bytemuck::Pod> Encode<T> for Pod {
    #[inline]
    fn encode<'a>(value: &'a T, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(bytemuck::bytes_of(value))
    }

    fn type_name() -> String {
        type_name::<T>()
    }

    #[inline]
    fn fixed_len() -> Option<usize> {
        Some(size_of::<T>())
    }
}

impl<T: bytemuck::Pod> Decode<T> for Pod {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        bytemuck::try_pod_read_unaligned(payload).map_err(|error| error.to_string().into())
    }

    const IS_DIRECT: bool = true;

    #[inline]
    fn blank() -> Option<T> {
        Some(T::zeroed())
    }

    fn blank_boxed() -> Option<Box<T>> {
        Some(bytemuck::zeroed_box())
    }

    #[inline]
    fn destination(value: &mut T) -> impl Destination {
        Whole(value)
    }

    fn type_name() -> String {
        type_name::<T>()
    }
}

/// The memory of a value: its size is the type's, which the compiler knows wherever this is used.
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

fn type_name<T>() -> String {
    format!("{} of {} bytes aligned to {}", type_name_of::<T>(), size_of::<T>(), align_of::<T>())
}
