//! Each error of the library as one of the few classes in `tearless/_errors.py`, with its own text.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tearless::error::{
    AttachError, BlockError, CreateError, DecodeError, DynamicError, NameError, ObjectError, PublishError,
    QueryError, RemoveError, SavedError, ShutdownError, SnapshotError, SpawnError,
};

/// What a program may want to tell apart.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    Error,
    NotFound,
    Empty,
    InUse,
    Closed,
    Forked,
    TypeMismatch,
    Encode,
    Decode,
    Limit,
    Access,
    Argument,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Class::Error => "Error",
            Class::NotFound => "NotFoundError",
            Class::Empty => "EmptyError",
            Class::InUse => "InUseError",
            Class::Closed => "ClosedError",
            Class::Forked => "ForkedError",
            Class::TypeMismatch => "TypeMismatchError",
            Class::Encode => "EncodeError",
            Class::Decode => "DecodeError",
            Class::Limit => "LimitError",
            Class::Access => "AccessError",
            Class::Argument => "ArgumentError",
        }
    }

    /// Whether an error is of this class.
    pub(crate) fn is_of(self, py: Python<'_>, error: &PyErr) -> bool {
        error.get_type(py).name().is_ok_and(|name| name == self.name())
    }

    /// An error of this class, which Python code sees with `text`.
    pub(crate) fn error(self, kind: &str, text: &str) -> PyErr {
        Python::attach(|py| {
            static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
            let module = MODULE.get_or_try_init(py, || py.import("tearless._errors").map(Bound::unbind));
            let made = module.and_then(|module| {
                let error = module.bind(py).getattr(self.name())?.call1((text,))?;
                error.setattr("kind", kind)?;
                Ok(PyErr::from_value(error))
            });
            made.unwrap_or_else(|error| error)
        })
    }
}

/// The error of a writer, reader or block that was closed in this process.
pub(crate) fn closed(what: &str, name: &str) -> PyErr {
    Class::Closed.error("", &format!("the {what} of {name:?} is closed in this process: open another one"))
}

/// Whether an error is no fault of what was called, but ends the program or its wait, as
/// `KeyboardInterrupt` does.
pub(crate) fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<pyo3::exceptions::PyException>(py)
}

/// Errors of the library that become Python exceptions.
pub(crate) trait ToPython: std::fmt::Display {
    /// The class, and the name of the library's own error, as in `Attach.NotFound`.
    fn class(&self) -> (Class, &'static str);
}

/// What the library names in Rust, and its name in Python.
const NAMES: &[(&str, &str)] = &[
    (
        "a writer that is dropped, also by a panic, removes its channel, unless it lingers",
        "a writer that is closed removes its channel, unless it was opened with linger=True",
    ),
    ("an owner that is dropped removes its block", "an owner that ends removes it"),
    ("(`attach_within`)", "(`timeout`)"),
    ("`BlockBuilder::attach_within`", "`timeout`"),
    ("`BlockBuilder::open_mut`", "`Namespace.array`"),
    ("WriterBuilder::", ""),
    ("ReaderBuilder::", ""),
    ("NamespaceBuilder::", ""),
    ("BlockBuilder::", ""),
    ("Namespace::", "Namespace."),
    ("Writer::", "Writer."),
];

/// The same text with the names of Python.
fn in_python(text: String) -> String {
    NAMES.iter().fold(text, |text, (rust, python)| match text.contains(rust) {
        true => text.replace(rust, python),
        false => text,
    })
}

/// For `Result::map_err`.
pub(crate) fn raise<E: ToPython>(error: E) -> PyErr {
    let (class, kind) = error.class();
    class.error(kind, &in_python(error.to_string()))
}

/// First the variants that have another error of the library as their cause, which has the class;
/// then the classes of the others.
macro_rules! classes {
    ($error:ident, $name:literal: $($cause:pat => $of:expr,)*; $($variant:ident $class:ident,)*) => {
        impl ToPython for $error {
            fn class(&self) -> (Class, &'static str) {
                #[allow(unreachable_patterns, reason = "some errors have no causes, or no others")]
                match self {
                    $($cause => $of.class(),)*
                    $($error::$variant { .. } => (Class::$class, concat!($name, ".", stringify!($variant))),)*
                    _ => (Class::Error, $name),
                }
            }
        }
    };
}

classes!(NameError, "Name":;
    Empty Argument, TooLong Argument, ControlCharacter Argument, Directory Argument, UnknownGroup Argument,);
classes!(ObjectError, "Object":;
    NotFound NotFound, Exists InUse, Unfinished InUse, Claimed InUse, NoSpace Limit, PermissionDenied Access,
    NotOwner Access, NotMember Access, OtherGroup Access, OtherOwner Access, Limit Limit, Full Limit,
    NoHugePages Limit, Foreign Error, OtherVersion Error, OtherNamespace Error, NotSealed Error, Unusable Error,
    Os Error,);
classes!(CreateError, "Create":
    CreateError::Name(error) => error, CreateError::Object { source, .. } => source,;
    AlreadyOwned InUse, Mirrored InUse, CapacityAboveLimit Argument, TooManyPins Argument, InvalidSize Argument, OverBudget Limit,
    InvalidPermissions Argument, SchemaRefused TypeMismatch, SchemaOfAnotherCodec Argument, NameCollision InUse,
    LayoutVersion TypeMismatch,);
classes!(AttachError, "Attach":
    AttachError::Name(error) => error, AttachError::Object { source, .. } => source,;
    NotFound NotFound, NotReady NotFound, FormatMismatch TypeMismatch, SchemaDiffers TypeMismatch,
    NoSchema TypeMismatch, SchemaCorrupt Decode, SchemaUnknown TypeMismatch, NameCollision InUse,
    LayoutVersion TypeMismatch, UnknownFeatures TypeMismatch, OtherBoot Error,);
classes!(PublishError, "Publish":
    PublishError::Growth { source, .. } => source, PublishError::NamesNotRestored { source, .. } => source,
    PublishError::RegistryNotRestored { source, .. } => source,;
    TooLarge Limit, Encode Encode, NamesRemoved Error, Forked Forked, Exhausted Limit, Closed Closed,);
classes!(SnapshotError, "Snapshot":
    SnapshotError::Object { source, .. } => source,;
    Empty Empty, Contended Error, Closed Closed, Corrupt Decode, WrongLength TypeMismatch, OutOfRange Decode,
    Decode Decode,);
classes!(RemoveError, "Remove":
    RemoveError::Name(error) => error, RemoveError::Left { source, .. } => source,
    RemoveError::Entry { source, .. } => source, RemoveError::Object { source, .. } => source,;
    AlreadyOwned InUse,);
classes!(BlockError, "Block":
    BlockError::Name(error) => error, BlockError::Object { source, .. } => source,;
    AlreadyOwned InUse, NotFound NotFound, OwnerDied NotFound, NotReady NotFound, InvalidSize Argument,
    LabelTooLong Limit, InvalidPermissions Argument, OverBudget Limit, NameCollision InUse,
    LayoutVersion TypeMismatch, UnknownFeatures TypeMismatch,);
classes!(QueryError, "Query":
    QueryError::Attach(error) => error, QueryError::Snapshot(error) => error,
    QueryError::List { source, .. } => source, QueryError::Writer { source, .. } => source,;);
classes!(SpawnError, "Spawn":
    SpawnError::Create(error) => error, SpawnError::Resume(error) => error, SpawnError::Publish(error) => error,;
    IntervalTooShort Argument, Thread Limit,);
classes!(ShutdownError, "Shutdown":
    ShutdownError::Publish { source, .. } => source,;
    AlreadyShutDown Closed,);
classes!(SavedError, "Saved":;
    File Error, Busy InUse, Foreign Decode, OtherVersion TypeMismatch, Cut Decode, Damaged Decode,
    NoSuchChannel NotFound, NothingToSave NotFound,);
classes!(DecodeError, "Decode":;
    NoSchema TypeMismatch, Schema Decode, OtherEncoding TypeMismatch, UnknownCodec TypeMismatch, Payload Decode,
    TooDeep Decode, TooManyElements Decode, TooLarge Decode, Left Decode,);
classes!(DynamicError, "Dynamic":
    DynamicError::Snapshot(error) => error, DynamicError::Decode { source, .. } => source,;
    NoSuchField NotFound,);
