//! What is common to everything that is read from `/proc`.

use std::io;

use procfs::{ProcError, ProcResult};

/// Not every host has every file: containers hide some, old kernels lack some, and processes end while they
/// are looked at, which leaves some files empty. Any other failure is a failure.
pub(crate) fn optional<T>(result: ProcResult<T>) -> io::Result<Option<T>> {
    /// A process that ended between the opening and the reading of its file.
    const NO_SUCH_PROCESS: i32 = 3;
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ProcError::NotFound(_) | ProcError::PermissionDenied(_) | ProcError::Incomplete(_)) => Ok(None),
        Err(ProcError::Io(error, _)) if error.raw_os_error() == Some(NO_SUCH_PROCESS) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}
