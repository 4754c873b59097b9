//! Plain old data: the bytes of the value are the payload.

use super::{Codec, CodecError, Decode, Encode, schema_of};
use crate::seqlock::Landing;

/// Plain old data ([`bytemuck::Pod`]): no encoding, no allocation; one copy to publish, one to take a snapshot.
///
/// The schema is the type's name with its size and alignment.
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

    fn schema() -> String {
        schema::<T>()
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

    #[inline]
    fn landing(value: &mut T) -> impl Landing {
        Whole(value)
    }

    fn schema() -> String {
        schema::<T>()
    }
}

/// The memory of a value: its size is the type's, which the compiler knows wherever this is used.
struct Whole<'a, T>(&'a mut T);

impl<T: bytemuck::Pod> Landing for Whole<'_, T> {
    #[inline(always)]
    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        (len == size_of::<T>()).then(|| bytemuck::bytes_of_mut(self.0))
    }

    fn landed(&self) -> &[u8] {
        bytemuck::bytes_of(self.0)
    }
}

fn schema<T>() -> String {
    format!("{} of {} bytes aligned to {}", schema_of::<T>(), size_of::<T>(), align_of::<T>())
}
