//! Whether a process lives, and who it is.
//!
//! That a writer lives is decided by its lock (`object::lock`), which the kernel releases when the process dies, however
//! it dies. The one case in which that is not enough is a fork: a child shares its parent's lock and may outlive it.
//! Then the identity that the writer recorded decides. The pid alone would not: pids are reused, differ between PID
//! namespaces and start again at every boot.
//!
//! No timer takes part in any of it: a stopped or slow process is alive.

mod identity;

pub(crate) use identity::{ProcessIdentity, ProcessState};
