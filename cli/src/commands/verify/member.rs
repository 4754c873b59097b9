//! One child process, as its parent sees it.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::CHILD;
use super::child::{READY, Role, Task};
use crate::again;

/// How often its parent looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Killed when dropped.
#[derive(Debug)]
pub(super) struct Member {
    process: Child,
    /// Tells it to end when dropped.
    input: Option<ChildStdin>,
    /// The lines that it prints. Ends when it does.
    output: Receiver<String>,
}

/// How a child ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself, or when it was told to.
    Ended(ExitStatus),
    /// Not within the time that it had; it was killed.
    Overdue,
}

impl Member {
    /// Starts a child.
    ///
    /// # Errors
    ///
    /// If the system refuses it.
    pub(super) fn start(task: &Task, role: Role) -> io::Result<Member> {
        let mut command = again::command();
        let mut process = command.args(["verify", CHILD, &task.to_argument(role)]).spawn()?;
        let (input, stdout) = (process.stdin.take(), process.stdout.take());
        let (sender, output) = channel();
        // A thread, because a child that says nothing must not keep its parent from looking at the clock.
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Member { process, input, output })
    }

    /// Waits until it is at work. An error says why it will not be.
    pub(super) fn await_ready(&mut self, deadline: Instant, is_off: impl Fn() -> bool) -> Result<(), String> {
        while Instant::now() < deadline && !is_off() {
            match self.output.recv_timeout(LOOK) {
                Ok(line) if line == READY => return Ok(()),
                Ok(line) => return Err(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("ended before it was at work".into()),
            }
        }
        if is_off() { Ok(()) } else { Err("was not at work in time".into()) }
    }

    /// Its exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(super) fn kill(&mut self) {
        // Neither fails in a way that matters if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Tells it to end.
    pub(super) fn tell_to_end(&mut self) {
        drop(self.input.take());
    }

    /// Waits for its end, until `deadline`.
    pub(super) fn await_end(&mut self, deadline: Instant) -> End {
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return End::Ended(status);
            }
            thread::sleep(LOOK);
        }
        self.kill();
        End::Overdue
    }

    /// What it has printed that was not read yet. It has ended.
    pub(super) fn lines(&self) -> Vec<String> {
        self.output.iter().collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
