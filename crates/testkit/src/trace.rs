//! A child that is stopped at chosen system calls and instructions.

use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::Pid;

use crate::fork::{Forked, exit_at_once, wait};

/// How far a traced child runs in one step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// To the beginning or the end of the next system call.
    Call,
    /// To the next instruction.
    Instruction,
}

/// Pins this thread, and the children that it forks, to the current processor. Every step switches
/// to the child and back, which takes many times longer between two processors.
pub fn stay_on_this_processor() {
    let mut processors = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the call has no preconditions.
    let own = unsafe { libc::sched_getcpu() };
    // SAFETY: zeroed is the empty set, which is a valid value.
    let processors = unsafe { processors.assume_init_mut() };
    // SAFETY: the macro's function checks the index against the size of the set.
    unsafe { libc::CPU_SET(usize::try_from(own).unwrap_or(0), processors) };
    // SAFETY: the set is valid and has the given length. If the call fails, stepping is only
    // slower.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), processors) };
}

/// A forked child that is stopped between steps. Killed when dropped. Only the thread that forked
/// it may use it.
#[derive(Debug)]
pub struct Traced {
    child: Option<Forked>,
}

impl Traced {
    /// Forks this process; the child stops before `work`.
    pub fn start(work: impl FnOnce()) -> Traced {
        let child = Forked::start(|| {
            request(libc::PTRACE_TRACEME, None);
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP).unwrap();
            work();
            exit_at_once(0);
        });
        let traced = Traced { child: Some(child) };
        assert!(traced.pid().is_some_and(|pid| wait(pid).stopped()), "the child stops before its work");
        traced
    }

    fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Forked::pid)
    }

    /// Lets the child run for one step; `false` if it has ended.
    pub fn step(&mut self, step: Step) -> bool {
        let Some(pid) = self.pid() else { return false };
        request(
            if matches!(step, Step::Call) { libc::PTRACE_SYSCALL } else { libc::PTRACE_SINGLESTEP },
            Some(pid),
        );
        // A tracer's `waitpid` reports stops without WUNTRACED.
        let status = wait(pid);
        if !status.stopped() {
            assert_eq!(status.exit_status(), Some(0), "the traced child failed");
            std::mem::forget(self.child.take());
        }
        status.stopped()
    }

    /// The number of the system call that the child is about to make; `None` where it has just
    /// returned from one.
    pub fn call(&self) -> Option<u64> {
        let size = size_of::<libc::ptrace_syscall_info>();
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        // SAFETY: the child is traced by this thread and stopped, and the kernel writes at most
        // the given size.
        let written = unsafe {
            libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, Pid::as_raw(self.pid()), size, info.as_mut_ptr())
        };
        assert!(written > 0, "ptrace: {}", std::io::Error::last_os_error());
        // SAFETY: zeroed is a value of this type, and the kernel wrote another.
        let info = unsafe { info.assume_init() };
        match info.op {
            // SAFETY: `op` says which member of the union was written.
            libc::PTRACE_SYSCALL_INFO_ENTRY => Some(unsafe { info.u.entry.nr }),
            _ => None,
        }
    }

    /// Lets the child run to its end, which must be a success.
    pub fn finish(mut self) {
        let Some(child) = self.child.take() else { return };
        request(libc::PTRACE_DETACH, Some(child.pid()));
        assert_eq!(child.wait().exit_status(), Some(0), "the traced child failed");
    }
}

fn request(what: libc::c_uint, pid: Option<Pid>) {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take no pointers; the pid is that of a child that this thread traces
    // and that is stopped.
    let answer = unsafe { libc::ptrace(what, Pid::as_raw(pid), none, none) };
    assert_eq!(answer, 0, "ptrace: {}", std::io::Error::last_os_error());
}
