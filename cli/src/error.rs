//! How a command fails: its message, its hints and its exit code.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;

use tearless::error::{
    AttachError, BlockError, CreateError, NameError, ObjectError, PublishError, RemoveError, SavedError,
    SnapshotError,
};
use tearless::inspect::may_be_unmapped;

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
    /// The exit code of the process.
    pub(crate) exit: ExitStatus,
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

    /// Prints message and hints on standard error, escaped: they may contain names out of shared
    /// memory.
    /// Returns the exit code.
    pub(crate) fn report(&self) -> ExitStatus {
        if let Some(message) = &self.message {
            let (bad, dim) = (style::BAD, style::DIM);
            stderr(format_args!("{bad}error:{bad:#} {}", printable(message)));
            for line in self.hint.iter().flat_map(|hint| hint.lines()) {
                stderr(format_args!("{dim}hint:{dim:#} {}", printable(line)));
            }
        }
        self.exit
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
        .replace("`Namespace::remove_channel`, ", "")
        .replace("NamespaceBuilder::permissions", "--permissions")
        .replace("NamespaceBuilder::group", "--group")
        .replace(" or `Namespace::clean`", "")
        .replace("Namespace::save", "tearless save")
        .replace(
            "try again, or wait with `changed`",
            "`tearless get --wait TIME` and `tearless watch` wait for it",
        )
}

/// What to do about the objects of another user.
pub(crate) fn trust(owner: u32) -> String {
    let map = "map that user's id into your user namespace (`unshare --map-users`)";
    let add = format!("if you trust user {owner}, add --trust-owner {owner}");
    if may_be_unmapped(owner) { map.into() } else { add }
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

impl Failure {
    /// The failure of an operation of the library. Without a code of its own, it depends on the
    /// `object` that the operation could not use.
    fn of(error: &dyn Error, object: Option<&ObjectError>, exit: Option<ExitStatus>) -> Failure {
        let other = match object {
            Some(ObjectError::NotFound { .. }) => ExitStatus::NotFound,
            _ => ExitStatus::Failed,
        };
        let failure = Failure::new(exit.unwrap_or(other), error.to_string());
        match object {
            Some(ObjectError::OtherOwner { owner, .. }) => failure.hint(trust(*owner)),
            _ => failure,
        }
    }
}

/// `?` on each operation of the library that the commands use, with the exit codes of its errors.
macro_rules! from_each {
    ($($error:ident $(($unusable:pat => $object:ident))? { $($pattern:pat => $exit:ident),* })*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                #[allow(unreachable_patterns, reason = "all errors of an operation may have one code")]
                let exit = match &error {
                    $($pattern => Some(ExitStatus::$exit),)*
                    _ => None,
                };
                #[allow(unreachable_patterns, reason = "an error may be that of an object itself")]
                let object = match &error {
                    $($unusable => Some($object),)?
                    _ => None,
                };
                Failure::of(&error, object, exit)
            }
        })*
    };
}

from_each! {
    // A directory is not usable at the moment.
    NameError { NameError::Directory { .. } => Failed, _ => Usage }
    AttachError (AttachError::Object { source, .. } => source) {
        AttachError::Name(_) => Usage,
        AttachError::NotFound { .. } => NotFound,
        AttachError::FormatMismatch { .. } => Undecodable
    }
    // The writers of a namespace have one user: to trust another one does not help.
    CreateError {
        CreateError::Name(_) => Usage,
        CreateError::AlreadyOwned { .. } | CreateError::Mirrored { .. } => Owned,
        CreateError::Object { source: ObjectError::NotFound { .. }, .. } => NotFound
    }
    PublishError { _ => Failed }
    BlockError (BlockError::Object { source, .. } => source) {
        BlockError::Name(_) => Usage,
        BlockError::AlreadyOwned { .. } => Owned,
        BlockError::NotFound { .. } => NotFound
    }
    RemoveError {
        RemoveError::Name(_) => Usage,
        RemoveError::AlreadyOwned { .. } => Owned,
        RemoveError::Left { source: ObjectError::NotFound { .. }, .. } => NotFound,
        RemoveError::Object { source: ObjectError::NotFound { .. }, .. } => NotFound
    }
    SnapshotError (SnapshotError::Object { source, .. } => source) {
        SnapshotError::Empty { .. } | SnapshotError::Closed { .. } => NotFound,
        SnapshotError::Corrupt { .. } | SnapshotError::Decode { .. } => Undecodable,
        SnapshotError::WrongLength { .. } | SnapshotError::OutOfRange { .. } => Undecodable
    }
    SavedError {
        SavedError::NoSuchChannel { .. } => NotFound,
        SavedError::Attach(AttachError::Name(_)) => Usage,
        _ => Failed
    }
    ObjectError (object => object) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_shells_name_no_functions() {
        let object = || "tl_x".to_owned();
        let errors = [
            ObjectError::OtherOwner { object: object(), owner: 7 },
            ObjectError::PermissionDenied { object: object(), owner: Some(7) },
            ObjectError::OtherGroup { object: object(), found: 7, wanted: 8 },
            ObjectError::Exists { object: object() },
            ObjectError::OtherVersion { object: "/run/a b/tl_x".into(), found: 1 },
        ];
        for error in errors {
            let message = Failure::from(error).message.unwrap();
            assert!(!message.contains("::") && message.contains("tl_x"), "{message}");
        }
    }
}
