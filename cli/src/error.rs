//! How a command fails: its message, its hints and its exit code.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::process::ExitCode;

use tearless::error::{
    AttachError, CreateError, NameError, ObjectError, PublishError, RemoveError, SnapshotError,
};

use crate::output::{printable, stderr, style};

/// The exit codes. `--help` documents the numbers, and they don't change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Done.
    Ok = 0,
    /// Failed, for a reason without a number of its own.
    Failed = 1,
    /// The command line or standard input is wrong.
    Usage = 2,
    /// No such namespace, channel, field or state.
    NotFound = 3,
    /// The writer is not alive, or the state is too old, and the command requires otherwise.
    NotLive = 4,
    /// The state can't be decoded.
    Undecodable = 5,
    /// Another process writes the channel.
    Owned = 6,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    message: Option<String>,
    hint: Option<String>,
    exit: ExitStatus,
}

impl Failure {
    /// A failure with a message.
    pub(crate) fn new(exit: ExitStatus, message: impl Into<String>) -> Failure {
        Failure { message: Some(for_shells(&message.into())), hint: None, exit }
    }

    /// A failure without a message: the command has already printed what went wrong.
    pub(crate) fn silent(exit: ExitStatus) -> Failure {
        Failure { message: None, hint: None, exit }
    }

    /// Adds what to do about it; each line of `hint` is printed as a line of its own.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// The exit code of the process.
    pub(crate) fn exit(&self) -> ExitStatus {
        self.exit
    }

    /// Prints message and hints on standard error, escaped: they may contain names out of shared
    /// memory.
    pub(crate) fn report(&self) -> ExitCode {
        ExitCode::from(self.report_status() as u8)
    }

    /// Like [`Failure::report`], for a caller that ends the process itself.
    pub(crate) fn report_status(&self) -> ExitStatus {
        if let Some(message) = &self.message {
            let (bad, dim) = (style::BAD, style::DIM);
            stderr(format_args!("{bad}error:{bad:#} {}", printable(message)));
            for line in self.hint.iter().flat_map(|hint| hint.lines()) {
                stderr(format_args!("{dim}hint:{dim:#} {}", printable(line)));
            }
        }
        self.exit
    }

    /// The failure of one object, with the message of the error that contains it.
    fn of_object(source: ObjectError, message: &str) -> Failure {
        Failure { message: Some(for_shells(message)), ..source.into() }
    }
}

/// Message and hints on one line, escaped.
impl Display for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let hints = self.hint.iter().flat_map(|hint| hint.lines());
        let texts: Vec<_> = self.message.iter().map(String::as_str).chain(hints).map(printable).collect();
        formatter.write_str(&texts.join("; "))
    }
}

/// A message of the library with options of the command in place of functions, which a shell does
/// not have.
pub(crate) fn for_shells(text: &str) -> String {
    text.replace("NamespaceBuilder::trust_owner", "--trust-owner")
        .replace("NamespaceBuilder::permissions", "--permissions")
        .replace("NamespaceBuilder::group", "--group")
        .replace("`tearless gc` or `Namespace::clean`", "`tearless gc`")
}

impl From<io::Error> for Failure {
    /// An error of standard output. A reader that stops reading is no failure: `tearless ls | head
    /// -1` is done.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(ExitStatus::Ok),
            _ => Failure::new(ExitStatus::Failed, format!("can't write to standard output: {error}")),
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Failure {
        Failure::new(ExitStatus::Usage, error.to_string())
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Failure {
        let text = error.to_string();
        match error {
            ObjectError::NotFound { .. } => Failure::new(ExitStatus::NotFound, text),
            ObjectError::OtherOwner { owner, .. } => Failure::new(ExitStatus::Failed, text)
                .hint(format!("if you trust that user, add --trust-owner {owner}")),
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

/// Failures of errors that may contain that of an object: the exit codes of their other kinds.
macro_rules! failures {
    ($($error:ident: $($kind:ident => $exit:ident),+;)+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                let text = error.to_string();
                match error {
                    $error::Name(error) => error.into(),
                    $error::Object { source, .. } => Failure::of_object(source, &text),
                    $($error::$kind { .. } => Failure::new(ExitStatus::$exit, text),)+
                    _ => Failure::new(ExitStatus::Failed, text),
                }
            }
        }
    )+};
}

failures! {
    AttachError: NotFound => NotFound, FormatMismatch => Undecodable;
    CreateError: AlreadyOwned => Owned;
    RemoveError: AlreadyOwned => Owned;
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        let text = error.to_string();
        match error {
            SnapshotError::Empty { channel } => {
                let text = format!("nothing has been published on channel {channel:?} yet");
                Failure::new(ExitStatus::NotFound, text).hint("`tearless watch` waits for the first state")
            }
            SnapshotError::Closed { .. } => Failure::new(ExitStatus::NotFound, text),
            SnapshotError::Corrupt { .. }
            | SnapshotError::WrongLength { .. }
            | SnapshotError::OutOfRange { .. }
            | SnapshotError::Decode { .. } => Failure::new(ExitStatus::Undecodable, text),
            SnapshotError::Object { source, .. } => Failure::of_object(source, &text),
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Failure {
        Failure::new(ExitStatus::Failed, error.to_string())
    }
}

#[test]
fn texts_for_shells_name_no_functions() {
    let object = || "tl_x".to_owned();
    let errors = [
        ObjectError::OtherOwner { object: object(), owner: 7 },
        ObjectError::PermissionDenied { object: object(), owner: Some(7) },
        ObjectError::OtherGroup { object: object(), found: 7, wanted: 8 },
        ObjectError::Exists { object: object() },
    ];
    for error in errors {
        let message = Failure::from(error).message.unwrap();
        assert!(!message.contains("::") && message.contains("tl_x"), "{message}");
    }
}
