//! What can be wrong with one object.

use std::io;

/// What went wrong with one shared-memory object. The texts name the object as it is listed in
/// `/dev/shm`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("shared-memory object {object} does not exist")]
    NotFound {
        /// Its name.
        object: String,
    },
    /// There is one already.
    #[error("shared-memory object {object} exists already")]
    Exists {
        /// Its name.
        object: String,
    },
    /// Its creator has made the name but not yet the memory.
    #[error("shared-memory object {object} is still empty: its creator is at work, or died there")]
    Unfinished {
        /// Its name.
        object: String,
    },
    /// Another process holds it.
    #[error("shared-memory object {object} is claimed by another process")]
    Claimed {
        /// Its name.
        object: String,
    },
    /// The memory can't be reserved.
    #[error(
        "no room for {bytes} bytes of shared memory ({object}): free some of /dev/shm, or make it larger \
         (mount -o remount,size=… /dev/shm)"
    )]
    NoSpace {
        /// Its name.
        object: String,
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The system doesn't allow it.
    #[error(
        "no permission for shared-memory object {object}: run as the user who owns it; for readers, its writer can \
         give permissions (WriterBuilder::permissions)"
    )]
    PermissionDenied {
        /// Its name.
        object: String,
    },
    /// Somebody else put something under this name.
    #[error(
        "/dev/shm/{object} is not an object of this library's ({reason}): find out who made it, and remove it"
    )]
    Foreign {
        /// Its name.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It belongs to another user.
    #[error(
        "shared-memory object {object} belongs to user {owner}, who is not trusted here: trust that user \
         explicitly (NamespaceBuilder::trust_owner), or use another namespace"
    )]
    OtherOwner {
        /// Its name.
        object: String,
        /// Numeric id of the user who owns it.
        owner: u32,
    },
    /// The system refused for some other reason.
    #[error("{operation} failed for shared-memory object {object}: {source}")]
    Os {
        /// Its name.
        object: String,
        /// What was tried.
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
