//! A forked child under ptrace: run to an operation, stepped through it one instruction at a time,
//! and killed there.
//!
//! The child calls [`mark`] right before the operation and right after it. A test process may fork
//! only while its other threads hold no lock that the child needs: the tests of this program take
//! turns, see `crate::turn`.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use libc::{c_int, c_long, c_uint, c_ulonglong, pid_t};

use crate::trace::{Point, Position, Trace};

/// Seconds after which a child counts as hanging. Even under load nothing takes that long.
const PATIENCE: c_uint = 120;

/// The bytes of the instruction `syscall`, as the low half of a little-endian word.
const SYSCALL: c_long = 0x050f;

/// The instruction `int3`.
const BREAKPOINT: c_long = 0xcc;

/// A stop of the child at a system call, as opposed to a step (`PTRACE_O_TRACESYSGOOD`).
const AT_SYSTEM_CALL: c_int = libc::SIGTRAP | 0x80;

/// Stops the child, so that the parent finds it right before or right after the operation.
pub(crate) fn mark() {
    // SAFETY: the call has no preconditions.
    let own = unsafe { libc::getpid() };
    // SAFETY: a signal to this process; the tracer decides what it does.
    unsafe { libc::kill(own, libc::SIGSTOP) };
}

/// Kills the whole test process unless it is called again in time, so that no wait of the parent is
/// endless.
pub(crate) fn watchdog() {
    // SAFETY: the call only sets this process's timer.
    unsafe { libc::alarm(PATIENCE) };
}

/// A child that this thread traces. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: pid_t,
    lives: bool,
}

impl Tracee {
    /// Forks a child that does `work`, and runs it to its first mark.
    pub(crate) fn start(work: impl FnOnce()) -> Tracee {
        watchdog();
        // SAFETY: the child does what its parent's thread could do and ends without returning; the
        // parent's other threads wait for their turn and hold no lock that the child needs.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            be_traced(work);
        }
        let tracee = Tracee { pid, lives: true };
        assert_eq!(tracee.await_stop(), libc::SIGSTOP, "a child that comes to its mark");
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        tracee.request(libc::PTRACE_SETOPTIONS, options);
        tracee
    }

    /// Executes one instruction.
    pub(crate) fn step(&self) -> Position {
        self.request(libc::PTRACE_SINGLESTEP, 0);
        self.position(libc::SIGTRAP)
    }

    /// Runs to the beginning or the end of the next system call.
    pub(crate) fn to_system_call(&self) -> Position {
        self.request(libc::PTRACE_SYSCALL, 0);
        self.position(AT_SYSTEM_CALL)
    }

    /// Runs to `point`, or to where the child turns out to be off the trace or at its end.
    pub(crate) fn go_to(&self, point: Point) -> Position {
        let mut position = Position::Within;
        for _ in 0..point.stops {
            position = position.and(|| self.to_system_call());
        }
        if let Some(landmark) = point.landmark {
            for pass in 0..=landmark.passes {
                position = position.and(|| self.run_to(landmark.address));
                // Between two passes, not at the landmark.
                position = if pass == landmark.passes { position } else { position.and(|| self.step()) };
            }
        }
        for _ in 0..point.steps {
            position = position.and(|| self.step());
        }
        let astray = point.address.is_some_and(|address| self.registers().rip != address);
        if position == Position::Within && astray { Position::Astray } else { position }
    }

    /// Steps to the end, and returns the trace. Calls `look` after each step with the number of
    /// steps.
    pub(crate) fn record(&self, mut look: impl FnMut(u64)) -> Trace {
        let mut trace = Trace::default();
        loop {
            let address = self.registers().rip;
            let calls = self.text(address) & 0xffff == SYSCALL;
            if self.step() == Position::End {
                return trace;
            }
            trace.push(address, calls);
            look(trace.steps());
        }
    }

    /// Runs until the child is about to execute the instruction at `address`, by a breakpoint. Also
    /// stops at a system call, which the trace does not have here.
    fn run_to(&self, address: u64) -> Position {
        let text = self.text(address);
        self.set_text(address, (text & !0xff) | BREAKPOINT);
        self.request(libc::PTRACE_SYSCALL, 0);
        let position = self.position(libc::SIGTRAP);
        self.set_text(address, text);
        if position == Position::Within {
            let mut registers = self.registers();
            registers.rip = address;
            // SAFETY: the request reads registers from the address of `registers`, which has their
            // type.
            let answer = unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.pid, 0, &raw const registers) };
            assert!(answer >= 0, "ptrace: {}", std::io::Error::last_os_error());
        }
        position
    }

    /// Kills the child with SIGKILL and waits for its end.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !std::mem::take(&mut self.lives) {
            return;
        }
        // SAFETY: the child has not been waited for, so the pid is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        let mut status = 0;
        loop {
            // SAFETY: `status` is a place where the kernel may store the status.
            let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            if ended != self.pid || libc::WIFSIGNALED(status) || libc::WIFEXITED(status) {
                return;
            }
        }
    }

    fn position(&self, expected: c_int) -> Position {
        match self.await_stop() {
            libc::SIGSTOP => Position::End,
            signal if signal == expected => Position::Within,
            AT_SYSTEM_CALL => Position::Astray,
            signal => panic!("the child got signal {signal}; {} would mean that it hangs", libc::SIGALRM),
        }
    }

    /// Waits until the child stops, and returns the reason.
    fn await_stop(&self) -> c_int {
        let mut status = 0;
        // SAFETY: `status` is a place where the kernel may store the status.
        let stopped = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        assert_eq!(stopped, self.pid, "waitpid: {}", std::io::Error::last_os_error());
        assert!(libc::WIFSTOPPED(status), "the child ended before its mark, see above; status {status:#x}");
        libc::WSTOPSIG(status)
    }

    fn request(&self, request: c_uint, data: c_int) {
        // SAFETY: these requests take numbers only, and this thread traces the child, which is
        // stopped.
        let answer = unsafe { libc::ptrace(request, self.pid, 0, c_long::from(data)) };
        assert!(answer >= 0, "ptrace {request}: {}", std::io::Error::last_os_error());
    }

    fn registers(&self) -> libc::user_regs_struct {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
        // SAFETY: the request stores the registers at the address of `registers`, which has their
        // type.
        let answer = unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.pid, 0, registers.as_mut_ptr()) };
        assert!(answer >= 0, "ptrace: {}", std::io::Error::last_os_error());
        // SAFETY: zeroed is a valid value of this struct of integers, and the kernel has stored
        // another one.
        unsafe { registers.assume_init() }
    }

    /// The word at `address` in the child.
    fn text(&self, address: c_ulonglong) -> c_long {
        // SAFETY: the request reads a word of the child's memory and none of this process's.
        unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.pid, address, ptr::null_mut::<u8>()) }
    }

    fn set_text(&self, address: c_ulonglong, word: c_long) {
        // SAFETY: the request stores into a private copy of the child's page; no other process sees
        // it.
        let answer = unsafe { libc::ptrace(libc::PTRACE_POKETEXT, self.pid, address, word) };
        assert!(answer >= 0, "ptrace: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        self.end();
    }
}

/// The child's life.
fn be_traced(work: impl FnOnce()) -> ! {
    watchdog();
    // SAFETY: the call takes nothing.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
    let outcome = catch_unwind(AssertUnwindSafe(work));
    if let Err(panic) = outcome {
        // The harness captures the output, and the child's copy of it is lost.
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)");
        let text = format!("\nin the child: {text}\n");
        // SAFETY: the pointer and the length are those of `text`.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: ends the process without running anything of the harness.
    unsafe { libc::_exit(1) }
}
