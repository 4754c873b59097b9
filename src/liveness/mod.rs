//! Who a process is, for people and for the cases in which the lock alone can't tell.
//!
//! That a writer lives is decided by the lock in `segment::lock`. The identity says who it is: the pid alone would not,
//! since pids are reused, differ between PID namespaces and start again at every boot.

mod identity;

pub(crate) use identity::ProcessIdentity;
