//! One child process, as its parent sees it.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use tearless::Namespace;

use super::{CHILD, Order, READY};
use crate::directory::Directory;

/// The pause between two checks whether the child has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A child process. Killed when dropped.
pub(crate) struct Worker {
    process: Child,
    /// Dropping it is the order to end.
    input: Option<ChildStdin>,
    /// The lines that the child prints. Ends when the child does.
    output: Receiver<String>,
}

impl Worker {
    /// Starts this very program with a task for `command` in `namespace`, even if its file has been
    /// replaced. An interrupt from the keyboard does not reach the child, so its parent can end it
    /// cleanly.
    ///
    /// # Errors
    ///
    /// If the system refuses to start it.
    pub(crate) fn start(
        command: &str,
        (directory, namespace): (&Directory, &Namespace),
        task: &impl Serialize,
    ) -> io::Result<Worker> {
        let order = serde_json::to_string(&Order { namespace: namespace.name().into(), task })?;
        let mut process = Command::new("/proc/self/exe")
            .arg0("tearless")
            .args([command, CHILD, &order])
            .args(directory.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (input, stdout) = (process.stdin.take(), process.stdout.take());
        let (sender, output) = channel();
        // A thread, because a silent child must not keep its parent from checking the clock.
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

    /// The child's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the child is at work. The error says why it is not.
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

    /// The child's exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Kills the child with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        // Both fail only if the child has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Orders the child to end.
    pub(crate) fn order_to_end(&mut self) {
        drop(self.input.take());
    }

    /// Waits for the child's end. One that has not ended by `deadline` is killed: `None`.
    pub(crate) fn await_end(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(LOOK);
        }
        self.kill();
        None
    }

    /// The lines that an ended child has printed and the parent has not read.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.iter().collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}
