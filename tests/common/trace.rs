//! A child that is stopped at chosen system calls and instructions.

use std::mem::MaybeUninit;
use std::ptr;

use rustix::process::Pid;

use super::fork::{Forked, exit_at_once, wait};

/// How far a traced child goes.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// To the beginning or the end of the next system call.
    Call,
    /// To the next instruction.
    Instruction,
}

/// Keeps this thread, and the children that it forks, on the processor where it is: stepping is a switch to the child and
/// back for every instruction, which takes many times longer between two processors.
pub fn stay_on_this_processor() {
    let mut processors = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: asking for the processor has no preconditions.
    let own = unsafe { libc::sched_getcpu() };
    // SAFETY: zeroed is the empty set, which is a valid value.
    let processors = unsafe { processors.assume_init_mut() };
    // SAFETY: the macro's function checks the index against the size of the set.
    unsafe { libc::CPU_SET(usize::try_from(own).unwrap_or(0), processors) };
    // SAFETY: the set is valid and of the length that is given. If it fails, it is only slower.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), processors) };
}

/// A forked child that stands still between steps. Killed when dropped. To be used by the thread that made it.
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
        assert!(traced.pid().is_some_and(|pid| wait(pid).stopped()), "it stops before its work");
        traced
    }

    fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Forked::pid)
    }

    /// Makes one step; `false` if the child ended.
    pub fn step(&mut self, step: Step) -> bool {
        let Some(pid) = self.pid() else { return false };
        request(
            if matches!(step, Step::Call) { libc::PTRACE_SYSCALL } else { libc::PTRACE_SINGLESTEP },
            Some(pid),
        );
        // A tracer sees its child's stops without asking for them.
        let status = wait(pid);
        if !status.stopped() {
            assert_eq!(status.exit_status(), Some(0), "the traced child failed");
            std::mem::forget(self.child.take());
        }
        status.stopped()
    }

    /// Lets it run to its end, which must be a success.
    pub fn finish(mut self) {
        let Some(child) = self.child.take() else { return };
        request(libc::PTRACE_DETACH, Some(child.pid()));
        assert_eq!(child.wait().exit_status(), Some(0), "the traced child failed");
    }
}

fn request(what: libc::c_uint, pid: Option<Pid>) {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take no pointers; the pid is that of a child that this thread traces and that is stopped.
    let answer = unsafe { libc::ptrace(what, Pid::as_raw(pid), none, none) };
    assert_eq!(answer, 0, "ptrace: {}", std::io::Error::last_os_error());
}
