//! A memory barrier in other processes, at the price of a system call in this one: Linux's `membarrier` in its global
//! expedited form (4.16).
//!
//! A process that has registered runs a full barrier, wherever its threads just are, when anybody issues one. So who
//! rarely needs the order of another's store and load pays for it, and who stores and loads all the time does not.

use std::sync::OnceLock;

/// `MEMBARRIER_CMD_*` of the kernel's interface.
const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// Lets barriers that others issue run in this process, from now on. `false` if the system has none.
pub(crate) fn register() -> bool {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    *REGISTERED.get_or_init(|| command(REGISTER_GLOBAL_EXPEDITED))
}

/// Runs a full barrier in this thread, and in every registered process. `false` if the system has none.
pub(crate) fn issue() -> bool {
    command(GLOBAL_EXPEDITED)
}

fn command(command: libc::c_int) -> bool {
    // SAFETY: takes numbers only, and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
