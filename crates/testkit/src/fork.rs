//! Forks, and other system calls that `std` and rustix do not offer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

/// Forks this process. The child does `work` and exits at once, without running anything of the
/// test harness. Its exit code is 0, or 101 if `work` panicked. While a process forks, none of its
/// other threads may hold a lock. A test program runs its tests in threads, so a test forks in an
/// actor, or is the only test of its program.
pub fn fork(work: impl FnOnce()) -> Pid {
    // SAFETY: the child only runs `work`, which uses what this thread owns, and `_exit`. By this
    // function's contract, no other thread of this process holds a lock that `work` needs.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = if catch_unwind(AssertUnwindSafe(work)).is_ok() { 0 } else { 101 };
        exit_at_once(code);
    }
    Pid::from_raw(pid).unwrap()
}

/// Ends this process without running destructors or the harness.
pub fn exit_at_once(code: i32) -> ! {
    // SAFETY: ends the process, and takes a plain number.
    unsafe { libc::_exit(code) }
}

/// Kills this process with SIGKILL.
pub fn kill_self() -> ! {
    kill_process(rustix::process::getpid(), Signal::KILL).unwrap();
    unreachable!("killed")
}

/// A forked child that is killed when the thread that forked it ends, or when this value is
/// dropped.
#[derive(Debug)]
pub struct Forked(Pid);

impl Forked {
    /// Forks this process as [`fork`] does.
    pub fn start(work: impl FnOnce()) -> Forked {
        Forked(fork(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
            work();
        }))
    }

    /// The child's process id.
    pub fn pid(&self) -> Pid {
        self.0
    }

    /// Sends the child a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }

    /// Waits for the child's end.
    pub fn wait(self) -> WaitStatus {
        let status = wait(self.0);
        std::mem::forget(self);
        status
    }

    /// Kills the child.
    pub fn kill(self) {}
}

impl Drop for Forked {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
        // A traced child also reports its stops.
        while wait(self.0).stopped() {}
    }
}

/// Waits until a child ends. A traced child also reports its stops.
pub fn wait(child: Pid) -> WaitStatus {
    rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty())).unwrap().unwrap().1
}

/// Ends this process by SIGALRM after the given seconds, so that its parent does not wait for ever.
pub fn end_after(seconds: u32) {
    // SAFETY: takes a plain number; no handler is installed unless a test installs one.
    unsafe { libc::alarm(seconds) };
}

/// Makes this process one of another user. This cannot be undone.
pub fn become_user(user: u32) {
    // SAFETY: takes plain numbers.
    assert_eq!(unsafe { libc::setresuid(user, user, user) }, 0);
}

/// Makes this process one of another user and group, with these further groups. This cannot be
/// undone.
pub fn become_member(user: u32, group: u32, groups: &[u32]) {
    // SAFETY: the list has that many groups, and is only read.
    assert_eq!(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }, 0);
    // SAFETY: takes plain numbers.
    assert_eq!(unsafe { libc::setresgid(group, group, group) }, 0);
    become_user(user);
}

/// Puts the children that this process forks from now on into a time namespace whose clocks are
/// ahead. Needs root, and a process with one thread.
pub fn put_children_ahead(seconds: u32) {
    // SAFETY: takes a plain number.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWTIME) }, 0);
    let offsets = format!("monotonic {seconds} 0\nboottime {seconds} 0\n");
    std::fs::write("/proc/self/timens_offsets", offsets).unwrap();
}

/// Locks all memory that this process maps from now on, as real-time programs do.
pub fn lock_future_memory() {
    // SAFETY: takes a plain number.
    assert_eq!(unsafe { libc::mlockall(libc::MCL_FUTURE) }, 0);
}

/// Runs `handler` a thousand times a second, by a signal that interrupts this thread's system
/// calls.
pub fn alarm_every_millisecond(handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zeroes are a valid `sigset_t`: no signal.
    let no_signals = unsafe { std::mem::zeroed() };
    // No SA_RESTART: interrupted calls fail with EINTR.
    let action = libc::sigaction {
        sa_sigaction: handler as usize,
        sa_mask: no_signals,
        sa_flags: 0,
        sa_restorer: None,
    };
    // SAFETY: both structures are valid, and the callers' handlers only add to an atomic.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) }, 0);
    let millisecond = libc::timeval { tv_sec: 0, tv_usec: 1_000 };
    let timer = libc::itimerval { it_interval: millisecond, it_value: millisecond };
    // SAFETY: the structure is valid, and a null pointer asks for no former timer.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
}
