//! The C interface of tearless, for C and every language that can call it. `include/tearless.h` is
//! made from this crate, and documents it; docs/c.md shows how to use it.
//!
//! Every exported function checks what it gets, catches what unwinds, and returns a [`tl_status`].
//! No memory changes its owner: what a call returns belongs to a handle, which the caller closes.

mod boundary;
mod handle;

// In the order in which the header has what they export.
mod status;

mod namespace;

mod structure;

mod codec;

mod writer_options;

mod writer;

mod accept;

mod info;

mod reader;

mod view;

mod json;

mod writer_state;

use std::ffi::c_char;

pub use accept::*;
pub use codec::{TL_BYTES, TL_MESSAGE_PACK, TL_PLAIN};
pub use info::*;
pub use json::*;
pub use namespace::*;
pub use reader::*;
pub use status::*;
pub use structure::{
    TL_BOOL, TL_F32, TL_F64, TL_I8, TL_I16, TL_I32, TL_I64, TL_STRUCT, TL_U8, TL_U16, TL_U32, TL_U64,
    tl_field, tl_structure,
};
pub use view::*;
pub use writer::*;
pub use writer_options::tl_writer_options;
pub use writer_state::*;

/// The version of the interface, which is a part of the library's soname. Later versions of the
/// library with the same number have everything that is in this header; earlier ones may lack
/// functions.
pub const TL_ABI_VERSION: u32 = 1;

/// The TL_ABI_VERSION that the library was built with, to compare with the header's. Any thread may
/// call it at any time.
#[unsafe(no_mangle)]
pub extern "C" fn tl_abi_version() -> u32 {
    TL_ABI_VERSION
}

/// The version of the library, as TL_VERSION is that of the header: "0.1.0". Never NULL, and valid
/// as long as the process. Any thread may call it at any time.
#[unsafe(no_mangle)]
pub extern "C" fn tl_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
