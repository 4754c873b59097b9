//! How a command fails: what is said, and with which exit code.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::process::ExitCode;

use tearless::error::{
    AttachError, CreateError, NameError, ObjectError, PublishError, RemoveError, SnapshotError,
};

use crate::output::{print_error, printable, style};

/// What a shell is told. The numbers are documented in `--help` and don't change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Done.
    Ok = 0,
    /// Failed, for a reason that has no number of its own.
    Failed = 1,
    /// What was said on the command line or on standard input makes no sense.
    Usage = 2,
    /// No such namespace, channel, field or state.
    NotFound = 3,
    /// The writer is dead or stalled, where that was asked.
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
    /// What went wrong, and with which exit code the process ends.
    pub(crate) fn new(exit: ExitStatus, message: impl Into<String>) -> Failure {
        Failure { message: Some(for_shells(&message.into())), hint: None, exit }
    }

    /// Ends the process with `exit`, without a word: all has been said.
    pub(crate) fn silent(exit: ExitStatus) -> Failure {
        Failure { message: None, hint: None, exit }
    }

    /// What to do about it, on a line of its own.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// With which exit code the process ends.
    pub(crate) fn exit(&self) -> ExitStatus {
        self.exit
    }

    /// Says it on standard error. Nothing of it is trusted: texts may hold names out of shared memory.
    pub(crate) fn report(&self) -> ExitCode {
        ExitCode::from(self.report_status() as u8)
    }

    /// As [`Failure::report`], for who ends the process himself.
    pub(crate) fn report_status(&self) -> ExitStatus {
        if let Some(message) = &self.message {
            let (bad, dim) = (style::BAD, style::DIM);
            print_error(format_args!("{bad}error:{bad:#} {}", printable(message)));
            for line in self.hint.iter().flat_map(|hint| hint.lines()) {
                print_error(format_args!("{dim}hint:{dim:#} {}", printable(line)));
            }
        }
        self.exit
    }
}

/// What went wrong and what to do about it, on one line, fit to be printed.
impl Display for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let hints = self.hint.iter().flat_map(|hint| hint.lines());
        let texts: Vec<_> = self.message.iter().map(String::as_str).chain(hints).map(printable).collect();
        formatter.write_str(&texts.join("; "))
    }
}

/// A text of the library's, with options instead of its functions, which mean nothing to who uses a shell.
pub(crate) fn for_shells(text: &str) -> String {
    text.replace("NamespaceBuilder::trust_owner", "--trust-owner")
        .replace(" (WriterBuilder::permissions)", "")
}

impl From<io::Error> for Failure {
    /// Of standard output. Who reads it may stop: `tearless ls | head -1` is done then.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(ExitStatus::Ok),
            _ => Failure::new(ExitStatus::Failed, format!("the output can't be written: {error}")),
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
        let exit = match error {
            ObjectError::NotFound { .. } => ExitStatus::NotFound,
            _ => ExitStatus::Failed,
        };
        let failure = Failure::new(exit, error.to_string());
        match error {
            ObjectError::OtherOwner { owner, .. } => {
                failure.hint(format!("if you trust that user, say --trust-owner {owner}"))
            }
            _ => failure,
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Failure {
        let text = error.to_string();
        match error {
            AttachError::Name(error) => error.into(),
            AttachError::NotFound { .. } => Failure::new(ExitStatus::NotFound, text),
            AttachError::FormatMismatch { .. } => Failure::new(ExitStatus::Undecodable, text),
            AttachError::Object { source, .. } => {
                Failure { message: Some(for_shells(&text)), ..source.into() }
            }
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        let text = error.to_string();
        match error {
            SnapshotError::Empty { channel } => Failure::new(
                ExitStatus::NotFound,
                format!("nothing has been published on channel {channel:?} yet"),
            )
            .hint("`tearless watch` waits for it"),
            SnapshotError::Closed { .. } => Failure::new(ExitStatus::NotFound, text),
            SnapshotError::Corrupt { .. }
            | SnapshotError::WrongLength { .. }
            | SnapshotError::OutOfRange { .. }
            | SnapshotError::Decode { .. } => Failure::new(ExitStatus::Undecodable, text),
            SnapshotError::Object { source, .. } => {
                Failure { message: Some(for_shells(&text)), ..source.into() }
            }
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Failure {
        let text = error.to_string();
        match error {
            CreateError::Name(error) => error.into(),
            CreateError::AlreadyOwned { .. } => Failure::new(ExitStatus::Owned, text),
            CreateError::Object { source, .. } => {
                Failure { message: Some(for_shells(&text)), ..source.into() }
            }
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Failure {
        Failure::new(ExitStatus::Failed, error.to_string())
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Failure {
        let text = error.to_string();
        match error {
            RemoveError::Name(error) => error.into(),
            RemoveError::AlreadyOwned { .. } => Failure::new(ExitStatus::Owned, text),
            RemoveError::Object { source, .. } => {
                Failure { message: Some(for_shells(&text)), ..source.into() }
            }
            _ => Failure::new(ExitStatus::Failed, text),
        }
    }
}

#[test]
fn texts_for_shells_name_no_functions() {
    let object = || "tl_x".to_owned();
    let errors = [
        ObjectError::OtherOwner { object: object(), owner: 7 },
        ObjectError::PermissionDenied { object: object() },
        ObjectError::Exists { object: object() },
    ];
    for error in errors {
        let message = Failure::from(error).message.unwrap();
        assert!(!message.contains("::") && message.contains("tl_x"), "{message}");
    }
}
