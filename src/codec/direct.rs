//! Codecs without an encoding: the payload is the memory of the value.

use std::ops::{Deref, DerefMut};

use super::{Codec, CodecError, Decode, Direct, Encode, Strategy, type_name_of};
use crate::seqlock::Destination;

/// Plain old data ([`bytemuck::Pod`]): no encoding and no allocation; one copy to publish, one copy
/// to take a snapshot.
///
/// A state is a `T`, by value, or a [`Boxed<T>`](Boxed), on the heap. The type name includes the
/// type's size and alignment, but no fields: a type whose fields have changed places is read as
/// nonsense, unless the reader's [`accept`](crate::accept) compares fields.
#[derive(Clone, Copy, Debug)]
pub struct Pod;

impl Pod {
    /// The codec's name.
    pub const NAME: &'static str = "pod";
}

/// Plain data on the heap, for states that are too large for the stack. With the codec [`Pod`] a
/// `Boxed<T>` is the same state as a `T`: channels have the same type name, schema and payload, so
/// the writer may publish `T` where readers ask for `Boxed<T>`.
///
/// A state of type `T` is returned by value: the compiler moves it several times, more often
/// without optimization. So reading a `T` of more than 64 KiB does not compile. A
/// `Boxed<T>` is copied from shared memory straight to the heap, whichever way it is read: by
/// readers, hubs, cuts, histories, streams and [`Writer::latest`](crate::Writer::latest). A
/// [`Syncer`](crate::syncer::Syncer) of a large state owns a `Boxed<T>`, too.
///
/// Cost: one allocation for each state.
/// [`Reader::snapshot_into`](crate::Reader::snapshot_into) and
/// [`Hub::get_into`](crate::hub::Hub::get_into) copy over a state that is there already. The serde
/// codecs carry a `Box<T>` under the type name of `T`.
///
/// ```
/// use tearless::{Boxed, Namespace, Pod};
///
/// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
/// #[repr(C)]
/// struct Frame { number: u64, pixels: [u8; 4 << 20] }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let fleet = Namespace::in_process("fleet")?;
/// let mut camera = fleet.writer_builder::<Frame>("camera").codec::<Pod>().open()?;
/// let mut frame = Boxed::<Frame>::zeroed();
/// frame.number = 1;
/// camera.publish(&frame)?;
///
/// let hub = fleet.hub_builder().codec::<Pod>().open();
/// assert_eq!(hub.get::<Boxed<Frame>>("camera")?.number, 1);
/// # Ok(())
/// # }
/// ```
///
/// By value, this state does not compile:
///
/// ```compile_fail
/// # use tearless::{Namespace, Pod};
/// # let hub = Namespace::in_process("fleet").unwrap().hub_builder().codec::<Pod>().open();
/// hub.get::<[u8; 4 << 20]>("camera");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boxed<T>(pub Box<T>);

impl<T: bytemuck::Zeroable> Boxed<T> {
    /// A state of zeroes.
    #[must_use]
    pub fn zeroed() -> Boxed<T> {
        Boxed(bytemuck::zeroed_box())
    }
}

impl<T> Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// A state of the codec [`Pod`]: plain data, or plain data on the heap.
///
/// `Box` itself can't be the second kind. To the compiler, other crates may implement
/// [`bytemuck::Pod`] for a `Box` of a type of theirs, and then it would be of both kinds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data",
    note = "derive `Clone`, `Copy`, `bytemuck::Pod` and `bytemuck::Zeroable`, and add `#[repr(C)]`"
)]
pub trait Plain {
    /// The plain data.
    type Data: bytemuck::Pod;

    /// A state over which a payload can be copied.
    fn blank() -> Self;

    /// The data of the state.
    fn data(&self) -> &Self::Data;

    /// The same, to be changed.
    fn data_mut(&mut self) -> &mut Self::Data;
}

#[diagnostic::do_not_recommend]
impl<T: bytemuck::Pod> Plain for T {
    type Data = T;

    #[inline(always)]
    fn blank() -> T {
        T::zeroed()
    }

    #[inline(always)]
    fn data(&self) -> &T {
        self
    }

    #[inline(always)]
    fn data_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: bytemuck::Pod> Plain for Boxed<T> {
    type Data = T;

    fn blank() -> Boxed<T> {
        Boxed::zeroed()
    }

    fn data(&self) -> &T {
        self
    }

    fn data_mut(&mut self) -> &mut T {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<S: Plain> Codec<S> for Pod {
    const NAME: &'static str = Pod::NAME;

    fn type_name() -> String {
        let (name, size, align) = (type_name_of::<S::Data>(), size_of::<S::Data>(), align_of::<S::Data>());
        format!("{name} of {size} bytes aligned to {align}")
    }

    #[inline]
    fn fixed_len() -> Option<usize> {
        Some(size_of::<S::Data>())
    }
}

#[diagnostic::do_not_recommend]
impl<S: Plain> Encode<S> for Pod {
    #[inline]
    fn encode<'a>(value: &'a S, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(bytemuck::bytes_of(value.data()))
    }
}

#[diagnostic::do_not_recommend]
impl<S: Plain> Decode<S> for Pod {
    fn decode(payload: &[u8]) -> Result<S, CodecError> {
        let mut value = Pod.blank();
        Self::decode_into(payload, &mut value)?;
        Ok(value)
    }

    fn decode_into(payload: &[u8], value: &mut S) -> Result<(), CodecError> {
        let bytes = bytemuck::bytes_of_mut(value.data_mut());
        if payload.len() != bytes.len() {
            return Err(format!("it has {} bytes instead of {}", payload.len(), bytes.len()).into());
        }
        bytes.copy_from_slice(payload);
        Ok(())
    }

    #[inline(always)]
    fn strategy() -> Strategy<impl Direct<S>> {
        Strategy::Direct(Pod)
    }
}

/// Bytes of the largest plain state that is returned by value. Without optimization, a cut has some
/// 20 copies of it on the stack.
const MAX_BY_VALUE: usize = 64 << 10;

impl<S: Plain> Direct<S> for Pod {
    #[inline(always)]
    fn blank(&self) -> S {
        const {
            assert!(
                size_of::<S>() <= MAX_BY_VALUE,
                "a plain state of more than 64 KiB does not fit on every stack: read it as `Boxed<T>`, or by \
                 `snapshot_into` or `get_into`"
            );
        }
        S::blank()
    }

    #[inline(always)]
    fn destination(&self, value: &mut S) -> impl Destination {
        Whole(value.data_mut())
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

    fn destination(&self, value: &mut Vec<u8>) -> impl Destination {
        value
    }
}
