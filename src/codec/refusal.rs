//! Why a writer refuses a state.

use std::any::type_name;
use std::fmt::{self, Display};

use serde::ser;

use super::caps::CapError;
use super::type_name_of;

/// The name of a type, a field or a variant.
pub(super) type Name = &'static str;

/// A state that a codec refuses, because no reader could decode it, or because readers would decode
/// another state. It is the `source` in [`PublishError::Encode`].
///
/// The text names the type and, unless it is the state's own, its place in the state, and says what
/// to use instead.
///
/// [`PublishError::Encode`]: crate::error::PublishError::Encode
pub struct EncodeError(Box<Refusal>);

struct Refusal {
    /// Where in the state, for example `queue[3].deadline`.
    path: String,
    /// Empty for a type of serde's own.
    type_name: Option<String>,
    reason: String,
    cap: Option<CapError>,
}

/// The longest path in an error, in bytes.
const MAX_PATH: usize = 80;

impl EncodeError {
    /// The cap on the cost of decoding that the state exceeds, if that is why it is refused.
    #[must_use]
    pub fn cap(&self) -> Option<CapError> {
        self.0.cap
    }

    #[cold]
    #[inline(never)]
    pub(super) fn new(reason: impl Into<String>) -> EncodeError {
        EncodeError(Box::new(Refusal {
            path: String::new(),
            type_name: None,
            reason: reason.into(),
            cap: None,
        }))
    }

    /// The error inside of a `T`.
    #[cold]
    #[inline(never)]
    pub(super) fn of<T: ?Sized>(mut self) -> EncodeError {
        self.0.type_name.get_or_insert_with(|| match type_name::<T>() {
            name if name.contains("::__") || name.starts_with("serde::private::") => String::new(),
            _ => type_name_of::<T>().trim_start_matches('&').into(),
        });
        self
    }

    /// The error inside of an element.
    #[cold]
    #[inline(never)]
    pub(super) fn at_index(self, index: usize) -> EncodeError {
        self.at(&format!("[{index}]"))
    }

    /// The error inside of a value that is called `segment` in its parent.
    #[cold]
    #[inline(never)]
    pub(super) fn at(mut self, segment: &str) -> EncodeError {
        let path = &mut self.0.path;
        if path.len() < MAX_PATH {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{segment}{dot}{path}");
        } else if !path.starts_with('…') {
            path.insert(0, '…');
        }
        self
    }
}

impl Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { path, type_name, reason, .. } = &*self.0;
        match type_name {
            Some(name) if path.is_empty() => write!(formatter, "`{name}`: {reason}"),
            Some(name) if name.is_empty() => write!(formatter, "`{path}`: {reason}"),
            Some(name) => write!(formatter, "`{path}`, of type `{name}`: {reason}"),
            None => formatter.write_str(reason),
        }
    }
}

debug_as_display!(EncodeError);

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    #[cold]
    #[inline(never)]
    fn custom<M: Display>(message: M) -> EncodeError {
        EncodeError::new(message.to_string())
    }
}

impl From<CapError> for EncodeError {
    #[cold]
    #[inline(never)]
    fn from(cap: CapError) -> EncodeError {
        let advice = match cap {
            CapError::TooDeep => "keep the parts in a list and let them refer to each other by index",
            CapError::TooManyElements { .. } => "publish the number of elements that have no contents",
        };
        let mut error = EncodeError::new(format!("{cap}, which readers refuse: {advice}"));
        error.0.cap = Some(cap);
        error
    }
}

// The texts of errors are made in functions of their own, so that no value leaves its register for
// them.

macro_rules! refusals {
    ($($name:ident($($argument:ident: $type:ty),*) $text:literal;)*) => {$(
        #[cold]
        #[inline(never)]
        pub(super) fn $name($($argument: $type),*) -> EncodeError {
            EncodeError::new(format!($text))
        }
    )*};
}

refusals! {
    skipped(name: &str)
        "field `{name}` is skipped (`skip_serializing_if`), but Postcard readers expect every field: remove the \
         attribute, or use the codec `MessagePack`";
    other_length(announced: usize, count: usize)
        "its `Serialize` announces {announced} elements or fields and writes {count}: correct it";
    fewer_values(name: &str, len: usize, before: usize)
        "`{name}` has {len} values here and had {before} before: a field without a name is skipped \
         (`skip_serializing_if`), and readers would take the next value for it: remove the attribute, or give the \
         fields names; or its `Serialize` writes a list: use `serialize_seq`";
    called_twice(name: &str)
        "two fields are called `{name}`, which readers refuse; perhaps one is flattened, or is the tag of an enum: \
         rename one of them";
    half_entry()
        "its `Serialize` writes a key of a map without a value, or a value without a key: correct it";
    empty_some()
        "`Some` of a value that is null in MessagePack (`None`, `()`, a unit struct) is read as `None`: use an \
         enum, or the codec `Postcard`";
    unknown_length()
        "it has a flattened field, or does not know its length in advance, which Postcard needs: remove \
         `#[serde(flatten)]`, or collect the elements first, or use the codec `MessagePack`";
}
