//! One child process, as its parent sees it.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{CHILD, READY};

/// How often its parent looks whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    /// Tells it to end when dropped.
    input: Option<ChildStdin>,
    /// The lines that it prints. Ends when it does.
    output: Receiver<String>,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By itself, or when it was told to.
    Ended(ExitStatus),
    /// Not within the time that it had; it was killed.
    Overdue,
}

impl Worker {
    /// Starts this very program with a task for `command`, also where its file was replaced meanwhile. An
    /// interrupt from the keyboard does not reach the child, so that its parent ends it in order.
    ///
    /// # Errors
    ///
    /// If the system refuses it.
    pub(crate) fn start(command: &str, task: &str) -> io::Result<Worker> {
        let mut process = Command::new("/proc/self/exe")
            .arg0("tearless")
            .args([command, CHILD, task])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
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
        Ok(Worker { process, input, output })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is at work. An error says why it will not be.
    pub(crate) fn await_ready(&mut self, deadline: Instant, is_off: impl Fn() -> bool) -> Result<(), String> {
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
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Kills it with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        // Neither fails in a way that matters if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Tells it to end.
    pub(crate) fn tell_to_end(&mut self) {
        drop(self.input.take());
    }

    /// Waits for its end, until `deadline`.
    pub(crate) fn await_end(&mut self, deadline: Instant) -> End {
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
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.iter().collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}
