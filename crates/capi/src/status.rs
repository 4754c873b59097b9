//! What a call returns, and the text of the last error.

use std::cell::Cell;
use std::ffi::{CStr, c_char};

use tearless::error::ErrorKind;

/// What a call returns: 0 for success, a positive number if nothing is wrong but there is no
/// result, a negative one for an error, whose text tl_error_message() returns. Numbers are never
/// given another meaning; later versions may return new ones.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of C")]
pub enum tl_status {
    /// Done.
    TL_OK = 0,
    /// Nothing has been published yet.
    TL_EMPTY = 1,
    /// The timeout is over, and nothing has changed.
    TL_TIMED_OUT = 2,
    /// There is no further channel or publication.
    TL_END = 3,
    /// The state is that of the last call: it was not published again.
    TL_UNCHANGED = 4,
    /// An argument is wrong: a NULL, a size, a name, an option, a handle of another kind.
    TL_INVALID = -1,
    /// There is no such channel.
    TL_NOT_FOUND = -2,
    /// Another process writes the channel, another thread uses the handle, or a loan is lent.
    TL_IN_USE = -3,
    /// The channel has ended, or the handle was closed.
    TL_CLOSED = -4,
    /// The caller is a fork of the process that the writer belongs to.
    TL_FORKED = -5,
    /// The channel's states are of another type, schema or codec, or of another version.
    TL_MISMATCH = -6,
    /// The state is longer than the buffer. The call says how long it is.
    TL_TOO_SMALL = -7,
    /// There is no memory, or a limit or budget does not allow it.
    TL_LIMIT = -8,
    /// The system does not permit it.
    TL_ACCESS = -9,
    /// The memory holds what no writer stores, or a state can't be decoded.
    TL_CORRUPT = -10,
    /// The state can't be encoded, or is not in the format that the writer was opened for.
    TL_ENCODE = -11,
    /// The writer was faster than every attempt to copy its state.
    TL_CONTENDED = -12,
    /// The system refused for another reason.
    TL_SYSTEM = -13,
    /// A fault of tearless. The call had no effect that can be relied on; please report it.
    TL_PANIC = -14,
}

use tl_status::*;

/// Each status with its name.
const NAMES: [(tl_status, &CStr); 19] = [
    (TL_OK, c"TL_OK"),
    (TL_EMPTY, c"TL_EMPTY"),
    (TL_TIMED_OUT, c"TL_TIMED_OUT"),
    (TL_END, c"TL_END"),
    (TL_UNCHANGED, c"TL_UNCHANGED"),
    (TL_INVALID, c"TL_INVALID"),
    (TL_NOT_FOUND, c"TL_NOT_FOUND"),
    (TL_IN_USE, c"TL_IN_USE"),
    (TL_CLOSED, c"TL_CLOSED"),
    (TL_FORKED, c"TL_FORKED"),
    (TL_MISMATCH, c"TL_MISMATCH"),
    (TL_TOO_SMALL, c"TL_TOO_SMALL"),
    (TL_LIMIT, c"TL_LIMIT"),
    (TL_ACCESS, c"TL_ACCESS"),
    (TL_CORRUPT, c"TL_CORRUPT"),
    (TL_ENCODE, c"TL_ENCODE"),
    (TL_CONTENDED, c"TL_CONTENDED"),
    (TL_SYSTEM, c"TL_SYSTEM"),
    (TL_PANIC, c"TL_PANIC"),
];

/// The name of a status, as "TL_NOT_FOUND"; "unknown status" for any other number. Never NULL, and
/// valid as long as the process.
///
/// Any thread may call it at any time.
#[unsafe(no_mangle)]
pub extern "C" fn tl_status_name(status: i32) -> *const c_char {
    let known = NAMES.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"unknown status", |(_, name)| name).as_ptr()
}

/// The text of the last error of the calling thread, or of its last TL_EMPTY: what happened, to
/// which object, and what to do about it. It is empty before the first, and other calls leave it as
/// it is.
/// Never NULL. The address is the same for as long as the thread lives, and the thread's next error
/// changes the text: copy it to keep it.
///
/// The text is UTF-8 of at most 4,095 bytes. It may quote names of other processes; control
/// characters in them are escaped.
#[unsafe(no_mangle)]
pub extern "C" fn tl_error_message() -> *const c_char {
    // A thread that ends has no memory of its own any more.
    LAST.try_with(|last| last.as_ptr().cast()).unwrap_or(c"the thread is ending".as_ptr())
}

/// Bytes of a text, with its zero byte.
const TEXT: usize = 4096;

/// What a text ends with that was cut.
const CUT: &str = "…";

thread_local! {
    /// Always ends with a zero byte.
    static LAST: Box<[Cell<u8>; TEXT]> = Box::new([const { Cell::new(0) }; TEXT]);
}

/// Why a call fails.
#[derive(Debug)]
pub(crate) struct Failure {
    status: tl_status,
    text: String,
}

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(status: tl_status, text: impl Into<String>) -> Failure {
        Failure { status, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Failure {
        Failure::new(TL_INVALID, text)
    }

    /// Keeps the text for `tl_error_message`, and returns the status.
    #[cold]
    pub(crate) fn report(self) -> tl_status {
        // A zero byte is shown as one.
        let mut text = self.text.replace('\0', "\\0");
        if text.len() >= TEXT {
            let end = (0..TEXT - CUT.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push_str(CUT);
        }
        // For a thread that ends, the status is all there is.
        let _ = LAST.try_with(|last| {
            for (place, byte) in last.iter().zip(text.bytes().chain([0])) {
                place.set(byte);
            }
        });
        self.status
    }
}

/// What the library names in Rust, and its name in C.
const IN_C: &[(&str, &str)] = &[
    ("(`attach_within`)", "(attach_timeout_ns)"),
    (
        "give both sides one `type_name`, or choose by `accept`",
        "give both sides one type_name, or choose by accept",
    ),
    ("(`codec` of a builder, or `Hub::with_codec`)", "(the codec of the options)"),
    ("(the codec `Bytes` with `accept::Any`)", "(TL_ANY)"),
    ("`accept::Any`", "TL_ANY"),
    ("`accept::MatchingFields`", "TL_MATCHING_FIELDS"),
    ("`accept::SameType`", "TL_SAME_TYPE"),
    ("`accept::SameSchema`", "TL_SAME_SCHEMA"),
    ("(`accept` compares fields before)", "(TL_MATCHING_FIELDS compares fields before)"),
    ("(`ReaderBuilder::schema`)", "(tl_reader_options.structure)"),
    ("`WriterBuilder::with_schema`", "tl_writer_options.structure"),
    (
        "correct the type's `Schema`, or open the writer without `with_schema`",
        "correct tl_writer_options.structure, or give one without members",
    ),
    ("`Writer::reopen` makes it again", "its writer, closed and opened, makes it again"),
    ("`Hub::iter`, `Hub::select` and `Hub::watch` take patterns, this takes a name", "it is no pattern"),
    (", `Namespace::clean` or a user", " or a user"),
    (" or `Namespace::clean`", ""),
    (" (see Namespace::memory)", ""),
    ("permissions 0o", "permissions 0"),
    ("bits of 0o777, 0o600", "bits of 0777, 0600"),
    ("in decimal is not 0o", "in decimal is not 0"),
    ("WriterBuilder::max_state_len", "tl_writer_options.max_state_length"),
    (
        "a writer that is dropped, also by a panic, removes its channel, unless it lingers",
        "a writer that is closed removes its channel, unless it was opened with linger",
    ),
    (
        "attach again, or start its writer (a hub attaches again by itself)",
        "open the reader again, or start its writer",
    ),
    ("or wait with `changed`", "or wait with tl_reader_wait()"),
    ("WriterBuilder::", "tl_writer_options."),
    ("ReaderBuilder::", "tl_reader_options."),
    ("NamespaceBuilder::trust_owner", "tl_namespace_options.trusted_owner"),
    ("NamespaceBuilder::", "tl_namespace_options."),
];

/// The same text with the names of C.
pub(crate) fn in_c(text: String) -> String {
    IN_C.iter().fold(text, |text, (rust, c)| if text.contains(rust) { text.replace(rust, c) } else { text })
}

/// The status for each kind of error of the library.
pub(crate) fn status_of(kind: ErrorKind) -> tl_status {
    match kind {
        ErrorKind::NotFound => TL_NOT_FOUND,
        ErrorKind::Empty => TL_EMPTY,
        ErrorKind::InUse => TL_IN_USE,
        ErrorKind::Closed => TL_CLOSED,
        ErrorKind::Forked => TL_FORKED,
        ErrorKind::TypeMismatch => TL_MISMATCH,
        ErrorKind::Encode => TL_ENCODE,
        ErrorKind::Decode => TL_CORRUPT,
        ErrorKind::Limit => TL_LIMIT,
        ErrorKind::Access => TL_ACCESS,
        ErrorKind::Argument => TL_INVALID,
        ErrorKind::Contended => TL_CONTENDED,
        _ => TL_SYSTEM,
    }
}

macro_rules! failures {
    ($($error:ident)*) => {$(
        impl From<tearless::error::$error> for Failure {
            #[cold]
            fn from(error: tearless::error::$error) -> Failure {
                Failure::new(status_of(error.kind()), in_c(error.to_string()))
            }
        }
    )*};
}

failures!(NameError ObjectError CreateError AttachError PublishError RemoveError DynamicError);

impl From<tearless::error::SnapshotError> for Failure {
    #[cold]
    fn from(error: tearless::error::SnapshotError) -> Failure {
        let status = match error {
            tearless::error::SnapshotError::BufferTooSmall { .. } => TL_TOO_SMALL,
            _ => status_of(error.kind()),
        };
        Failure::new(status, in_c(error.to_string()))
    }
}
