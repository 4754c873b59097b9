//! Each error of the library as one of the few classes in `tearless/_errors.py`, with its own text.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tearless::error::{
    AttachError, BlockError, CreateError, DecodeError, DynamicError, ErrorKind, NameError, ObjectError,
    PublishError, QueryError, RemoveError, SavedError, ShutdownError, SnapshotError, SpawnError,
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

    fn of(kind: ErrorKind) -> Class {
        match kind {
            ErrorKind::NotFound => Class::NotFound,
            ErrorKind::Empty => Class::Empty,
            ErrorKind::InUse => Class::InUse,
            ErrorKind::Closed => Class::Closed,
            ErrorKind::Forked => Class::Forked,
            ErrorKind::TypeMismatch => Class::TypeMismatch,
            ErrorKind::Encode => Class::Encode,
            ErrorKind::Decode => Class::Decode,
            ErrorKind::Limit => Class::Limit,
            ErrorKind::Access => Class::Access,
            ErrorKind::Argument => Class::Argument,
            _ => Class::Error,
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

macro_rules! classes {
    ($($error:ident)*) => {$(
        impl ToPython for $error {
            fn class(&self) -> (Class, &'static str) {
                (Class::of(self.kind()), self.name())
            }
        }
    )*};
}

classes!(NameError ObjectError CreateError AttachError PublishError SnapshotError RemoveError BlockError
    QueryError SpawnError ShutdownError SavedError DecodeError DynamicError);

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
