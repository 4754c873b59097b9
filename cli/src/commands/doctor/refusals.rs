//! What this user may not look at: that is nobody's mistake.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use tearless::error::ObjectError;

use super::Finding;

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    /// It belongs to this user, who is not trusted.
    Untrusted(u32),
    /// The system does not let it be opened; it belongs to this user, if that is known.
    Forbidden(Option<u32>),
}

/// Each of them once, however many objects are concerned.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeSet<Refusal>);

impl Refusals {
    /// Keeps `error` if it is a refusal; else it is given back.
    pub(super) fn sift(&mut self, error: ObjectError) -> Option<ObjectError> {
        (!self.take(&error)).then_some(error)
    }

    /// Keeps what `error` says if it is a refusal; whether it is one.
    pub(super) fn take(&mut self, error: &ObjectError) -> bool {
        let refusal = match error {
            ObjectError::OtherOwner { owner, .. } => Refusal::Untrusted(*owner),
            ObjectError::PermissionDenied { object } => {
                let owner = fs::symlink_metadata(format!("/dev/shm/{object}")).map(|metadata| metadata.uid());
                Refusal::Forbidden(owner.ok())
            }
            _ => return false,
        };
        self.0.insert(refusal);
        true
    }

    /// A note for each.
    pub(super) fn notes(self) -> impl Iterator<Item = Finding> {
        self.0.into_iter().map(|refusal| match refusal {
            Refusal::Untrusted(owner) => Finding::note(
                "other-user",
                format!("objects of it belong to user {owner}, and were not opened"),
                format!("if you trust that user, say --trust-owner {owner}"),
            ),
            Refusal::Forbidden(Some(owner)) => Finding::note(
                "other-user",
                format!("objects of it belong to user {owner}, and you have no permission to read them"),
                format!("run this as that user; or let the writers permit it, and say --trust-owner {owner}"),
            ),
            Refusal::Forbidden(None) => Finding::note(
                "other-user",
                "you have no permission to read objects of it",
                "run this as the user who owns them",
            ),
        })
    }
}
