//! The owner that a page names: the process that claimed it last.

use crate::layout::control;
use crate::liveness::{ProcessIdentity, ProcessState};
use crate::memory::{Memory, MemoryMut, SharedWords};
use crate::seqlock::ready::{self, Readiness};

/// Records the owner in a page, as [`owner_of`] reads it.
pub(crate) fn store_owner(page: &impl MemoryMut, owner: ProcessIdentity) {
    page.store(control::PID, owner.pid);
    page.store(control::START_TIME, owner.start_time);
    page.store(control::BOOT_ID, owner.boot_id[0]);
    page.store(control::BOOT_ID + 1, owner.boot_id[1]);
    page.store(control::PID_NAMESPACE, owner.pid_namespace);
}

/// The owner that a page names, even if the page is not ready yet.
pub(crate) fn owner_of(page: &impl Memory) -> ProcessIdentity {
    ProcessIdentity {
        pid: page.load(control::PID),
        start_time: page.load(control::START_TIME),
        boot_id: [page.load(control::BOOT_ID), page.load(control::BOOT_ID + 1)],
        pid_namespace: page.load(control::PID_NAMESPACE),
    }
}

/// Whether the owner that a page names is known to be dead although a process holds its lock: then
/// a fork of the owner holds it.
///
/// Nothing is known of the owner of a page that another version of the layout made.
///
/// A lock does not outlive a boot. A different boot id means a container that has one of its own,
/// and nothing is known.
pub(crate) fn is_abandoned<const W: bool>(page: &SharedWords<W>) -> bool {
    let is_readable = !matches!(ready::check(page), Readiness::OtherVersion(_));
    let owner = owner_of(page);
    is_readable
        && owner.other_boot().is_none()
        && owner.state_as_owner(Some(page.object())) == ProcessState::Dead
}
