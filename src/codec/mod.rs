//! Codecs: how a state becomes a payload, and how a payload becomes a state; and the name by which
//! a type is known to readers.

#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod capped;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod caps;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod checked;
mod direct;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod output;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod refusal;
mod serde;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
mod shapes;

#[cfg(feature = "dynamic")]
pub(crate) use self::capped::{EXTENSION_I128, EXTENSION_U128};
pub(crate) use self::direct::Plain;
pub use self::direct::{Boxed, Bytes, Pod};
pub use self::serde::{MessagePack, Postcard};
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use self::{caps::CapError, refusal::EncodeError};

use std::any::Any;
use std::convert::Infallible;
use std::error::Error;

use crate::seqlock::Destination;

/// The error of a codec.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// How states of type `T` become payloads. Marker types implement it, beside [`Encode`] and
/// [`Decode`].
///
/// A channel records the codec's name and the type's name; readers compare both when they attach.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec for `{T}`",
    note = "`MessagePack` and `Postcard` are codecs for every type; `Pod` is one for types that implement \
            `bytemuck::Pod`: derive `Clone`, `Copy`, `bytemuck::Pod` and `bytemuck::Zeroable`, and add \
            `#[repr(C)]`"
)]
pub trait Codec<T: ?Sized> {
    /// The codec's name. The channel records its first 64 bytes for people and a hash of the whole
    /// name for comparison.
    const NAME: &'static str;

    /// The name that tells `T` from other types. The default is the name of `T`
    /// without modules and without `Box`.
    ///
    /// The codec must give the same name to every pair of types that it encodes and decodes into
    /// each other, as [`Bytes`](crate::Bytes) does for `[u8]` and `Vec<u8>`.
    #[must_use]
    fn type_name() -> String {
        type_name_of::<T>()
    }

    /// The size of a payload in bytes if all payloads of `T` have the same size.
    #[must_use]
    fn fixed_len() -> Option<usize> {
        None
    }
}

/// A codec that can encode a `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot encode `{T}`",
    label = "this codec cannot encode `{T}`",
    note = "`MessagePack` encodes types that implement `serde::Serialize`, and `Postcard` owned types that implement \
            both `serde::Serialize` and `serde::Deserialize`: its writer tries whether readers can read a state; \
            without the features `message-pack` and `postcard` of `tearless` they encode nothing: enable the \
            codec's feature",
    note = "`Pod` encodes types that implement `bytemuck::Pod`: derive `Clone`, `Copy`, `bytemuck::Pod` and \
            `bytemuck::Zeroable`, and add `#[repr(C)]`; of plain data on the heap it encodes `Boxed<T>`, not `Box<T>`",
    note = "`Bytes` encodes `[u8]`, `Vec<u8>` and other types that implement `AsRef<[u8]>`"
)]
pub trait Encode<T: ?Sized>: Codec<T> {
    /// The payload for `value`: the bytes of `value` itself, or bytes that were encoded into
    /// `scratch`. The codec empties `scratch` first; the writer reuses it for every publication.
    ///
    /// # Errors
    ///
    /// If the codec cannot encode `value`. After an error or a panic, nothing is published.
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError>;

    /// Whether `payload` may be one of a `T`: false if it has other fields or variants.
    #[doc(hidden)]
    #[must_use]
    fn may_be_payload(_payload: &[u8]) -> bool {
        true
    }
}

/// A codec that can decode a `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot decode `{T}`",
    label = "this codec cannot decode `{T}`",
    note = "`MessagePack` and `Postcard` decode owned types that implement `serde::Deserialize`; without the \
            features `message-pack` and `postcard` of `tearless` they decode nothing: enable the codec's feature",
    note = "`Pod` decodes types that implement `bytemuck::Pod`: derive `Clone`, `Copy`, `bytemuck::Pod` and \
            `bytemuck::Zeroable`, and add `#[repr(C)]`; of plain data on the heap it decodes `Boxed<T>`, not `Box<T>`",
    note = "`Bytes` decodes `Vec<u8>`"
)]
pub trait Decode<T>: Codec<T> {
    /// The value of `payload`, a private and whole copy.
    ///
    /// # Errors
    ///
    /// If `payload` does not encode a `T`.
    fn decode(payload: &[u8]) -> Result<T, CodecError>;

    /// Replaces `value` by the value of `payload`; the codec may reuse memory that `value` owns.
    ///
    /// # Errors
    ///
    /// As [`Decode::decode`]; then `value` is unchanged.
    fn decode_into(payload: &[u8], value: &mut T) -> Result<(), CodecError> {
        *value = Self::decode(payload)?;
        Ok(())
    }

    /// How a reader gets from the channel's memory to a value. Only codecs of this crate can name
    /// [`Direct`], so every other codec keeps the default.
    #[doc(hidden)]
    #[inline(always)]
    fn strategy() -> Strategy<impl Direct<T>> {
        Strategy::<Infallible>::Decoded
    }
}

/// How a reader gets from the channel's memory to a value.
#[derive(Clone, Copy, Debug)]
pub enum Strategy<D> {
    /// The reader copies the payload over the value itself.
    Direct(D),
    /// The reader copies the payload into a buffer, from which [`Decode::decode`] makes the value.
    Decoded,
}

/// Codecs whose payload is the memory of the value. `Self` has no data: the calls are resolved at
/// compile time.
pub trait Direct<T> {
    /// A value over which a payload can be copied.
    fn blank(&self) -> T;

    /// The memory of `value`.
    fn destination(&self, value: &mut T) -> impl Destination;
}

/// The parameter of a [`Strategy`] that is always [`Strategy::Decoded`].
impl<T> Direct<T> for Infallible {
    fn blank(&self) -> T {
        match *self {}
    }

    fn destination(&self, _value: &mut T) -> impl Destination {
        match *self {}
        #[expect(unreachable_code, reason = "names the type that the match above cannot")]
        <&mut [u8]>::default()
    }
}

/// The text of a panic that was caught.
pub(crate) fn text_of_panic(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text")
}

/// The name of `T` without the path of every type in it: `Vec<worker::Job>` and `Vec<main::Job>`
/// have one name, so that two programs may each have a copy of a type. A `Box<Job>` has the name of
/// a `Job`: no codec of this crate tells them apart.
///
/// The name does not say which fields a type has. A program that changes a type gives it another
/// name, or chooses the type name explicitly.
fn type_name_of<T: ?Sized>() -> String {
    without_paths(std::any::type_name::<T>())
}

fn without_paths(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    // For each open bracket, whether it is that of a box.
    let mut brackets = Vec::new();
    // Each piece is a path and the character after it.
    for piece in name.split_inclusive(|next: char| !next.is_alphanumeric() && !matches!(next, '_' | ':')) {
        let shown = piece.rsplit("::").next().unwrap_or(piece);
        short.push_str(match shown.chars().next_back() {
            Some('<') => {
                brackets.push(piece == "alloc::boxed::Box<");
                if brackets.ends_with(&[true]) { "" } else { shown }
            }
            // The arrow of a function is no bracket.
            Some('>') if !short.ends_with('-') && brackets.pop() == Some(true) => &shown[..shown.len() - 1],
            _ => shown,
        });
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_and_structure_stays() {
        assert_eq!(without_paths("worker::state::State"), "State");
        assert_eq!(without_paths("alloc::vec::Vec<(u64, main::Job)>"), "Vec<(u64, Job)>");
        assert_eq!(without_paths("[core::option::Option<&a::b::C>; 4]"), "[Option<&C>; 4]");
        assert_eq!(without_paths("u8"), "u8");
        assert_eq!(without_paths("fn(&a::A) -> b::Box<c::C>"), "fn(&A) -> Box<C>");
        assert_eq!(type_name_of::<std::collections::BTreeMap<String, u8>>(), "BTreeMap<String, u8>");
    }

    #[test]
    fn a_box_has_the_name_of_its_contents() {
        assert_eq!(type_name_of::<Box<u8>>(), "u8");
        assert_eq!(type_name_of::<Box<Box<Vec<Box<u8>>>>>(), "Vec<u8>");
        assert_eq!(type_name_of::<(Box<[u8]>, Option<Box<(u8, Box<str>)>>)>(), "([u8], Option<(u8, str)>)");
        assert_eq!(type_name_of::<Box<fn(u8) -> Box<u8>>>(), "fn(u8) -> u8");
    }
}
