//! Errors of one object.

use std::io;

/// An error of one shared-memory object. The texts name the object as `/dev/shm` lists it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("shared-memory object {object} does not exist")]
    NotFound {
        /// Its name.
        object: String,
    },
    /// An object of that name exists already.
    #[error("shared-memory object {object} exists already")]
    Exists {
        /// Its name.
        object: String,
    },
    /// Its creator has made the name but not yet the memory.
    #[error(
        "shared-memory object {object} is still empty, its creator has not finished it: retry, or \
         open a writer for its channel if the creator is dead"
    )]
    Unfinished {
        /// Its name.
        object: String,
    },
    /// Another process owns it.
    #[error("shared-memory object {object} is claimed by another process: retry once that process has ended")]
    Claimed {
        /// Its name.
        object: String,
    },
    /// Its memory can't be reserved.
    #[error(
        "no room for {bytes} bytes of shared memory ({object}): free memory in /dev/shm, or \
         enlarge it (mount -o remount,size=… /dev/shm)"
    )]
    NoSpace {
        /// Its name.
        object: String,
        /// Requested bytes.
        bytes: usize,
    },
    /// The system doesn't allow it.
    #[error(
        "no permission for shared-memory object {object}: run as its owner; the writer can give \
         readers permissions (WriterBuilder::permissions)"
    )]
    PermissionDenied {
        /// Its name.
        object: String,
    },
    /// Another program put something else under this name.
    #[error(
        "/dev/shm/{object} is not an object of this library ({reason}): find out which program \
         made it, and remove it"
    )]
    Foreign {
        /// Its name.
        object: String,
        /// Why it is not one of our objects.
        reason: String,
    },
    /// It belongs to another user.
    #[error(
        "shared-memory object {object} belongs to user {owner}, which is not trusted: trust that \
         user explicitly (NamespaceBuilder::trust_owner), or use another namespace"
    )]
    OtherOwner {
        /// Its name.
        object: String,
        /// Numeric id of its owner.
        owner: u32,
    },
    /// The system refused for another reason.
    #[error("{operation} failed for shared-memory object {object}: {source}")]
    Os {
        /// Its name.
        object: String,
        /// The operation that failed.
        operation: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// The result of looking at an object by its name; `None` if the object does not exist, or no
/// longer does.
pub(crate) fn if_exists<T>(result: Result<T, ObjectError>) -> Result<Option<T>, ObjectError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ObjectError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
