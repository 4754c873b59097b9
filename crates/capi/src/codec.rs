//! What the states of a channel are.

use tearless::{Bytes, MessagePack, Pod};

use crate::status::{Failure, Result};
use crate::structure::{self, Structure, tl_structure};

/// The states are bytes that only the programs understand.
pub const TL_BYTES: i32 = 0;
/// The states are plain structs, which tl_structure describes.
pub const TL_PLAIN: i32 = 1;
/// The states are MessagePack.
pub const TL_MESSAGE_PACK: i32 = 2;

/// The names of the codecs, in the order of their numbers.
const CODECS: [&str; 3] = [Bytes::NAME, Pod::NAME, MessagePack::NAME];

/// The codec of a number.
pub(crate) fn codec_name(codec: i32) -> Result<&'static str> {
    let known = usize::try_from(codec).ok().and_then(|codec| CODECS.get(codec));
    known.copied().ok_or_else(|| {
        Failure::invalid(format!("codec {codec} is none of TL_BYTES, TL_PLAIN and TL_MESSAGE_PACK"))
    })
}

/// What states are, by a codec and a structure of C.
///
/// # Safety
///
/// The structure is NULL or as its documentation says.
pub(crate) unsafe fn codec_and_structure(
    codec: i32,
    structure: *const tl_structure,
) -> Result<(i32, Option<Structure>)> {
    codec_name(codec)?;
    match codec {
        _ if structure.is_null() => Ok((codec, None)),
        // 0 is the codec that was not given.
        // SAFETY: the caller's promise.
        TL_BYTES | TL_PLAIN => Ok((TL_PLAIN, Some(unsafe { structure::read(structure)? }))),
        _ => Err(Failure::invalid("a structure describes plain structs: set the codec to TL_PLAIN")),
    }
}
