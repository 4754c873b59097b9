//! The child-process protocol: a program starts itself again, and parent and child exchange lines.
//!
//! 1. The parent starts a [`Child`]. An environment variable or an argument says what the child
//!    does.
//! 2. The child prints [`READY`] on a line of its standard output when it is at work.
//! 3. The parent writes orders to the child's standard input, and the child answers on its standard
//!    output.
//! 4. The child ends when its standard input ends. The input also ends when the parent is killed,
//!    so that a child never outlives its parent for long.
//!
//! A [`Child`] that is dropped is killed and reaped. [`Child::with_grace`] gives a child time to
//! remove something first.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The line that a child prints when it is at work.
pub const READY: &str = "ready";

/// How often a parent that waits until a deadline checks whether its child has ended.
const INTERVAL: Duration = Duration::from_millis(1);

/// A child process, as its parent sees it. Its methods panic if the system or the child fails.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// `None` after the parent has closed it.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    grace: Duration,
}

impl Child {
    /// A command that starts this program again.
    ///
    /// # Panics
    ///
    /// If the system does not report the program's path.
    pub fn this_program() -> Command {
        Command::new(std::env::current_exe().expect("a program knows its own path"))
    }

    /// Starts `command` with pipes as its standard input and output, in a process group of its own:
    /// an interrupt from the keyboard ends the parent only, and the child ends when its input does.
    ///
    /// # Panics
    ///
    /// If the system refuses to start the command.
    pub fn start(mut command: Command) -> Child {
        command.process_group(0);
        Child::start_in_group(command)
    }

    /// Starts `command` as [`Child::start`] does, but in this process's group: an interrupt from
    /// the keyboard ends the child, too. For children that do not always read their input.
    ///
    /// # Panics
    ///
    /// If the system refuses to start the command.
    pub fn start_in_group(mut command: Command) -> Child {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a child process can be started");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("the output is piped"));
        Child { process, input, output, grace: Duration::ZERO }
    }

    /// Starts `command` as [`Child::start`] does, and waits until the child is ready.
    ///
    /// # Panics
    ///
    /// If the system refuses to start the command, or if the child ends before it is ready.
    pub fn start_ready(command: Command) -> Child {
        let mut child = Child::start(command);
        child.await_ready();
        child
    }

    /// Gives the child time to end by itself when this value is dropped: its input is closed first,
    /// and it is killed when the time is over.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Child {
        self.grace = grace;
        self
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal to the child.
    ///
    /// # Panics
    ///
    /// If the child has ended and has been waited for.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a child can be signalled");
    }

    /// Writes a line to the child's standard input.
    ///
    /// # Panics
    ///
    /// If the input is closed, or if the child has ended.
    pub fn order(&mut self, line: &str) {
        writeln!(self.pipes().0, "{line}").expect("the child reads its input");
    }

    /// Waits for the next line that the child prints.
    ///
    /// # Panics
    ///
    /// If the child ends before it prints a line.
    pub fn answer(&mut self) -> String {
        self.next_line().expect("the child prints a line before it ends")
    }

    /// Sends an order, and waits for the line that answers it.
    ///
    /// # Panics
    ///
    /// If the child ends before it answers.
    pub fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    /// The next line that the child prints, without its end; `None` if the child prints no more
    /// lines.
    ///
    /// # Panics
    ///
    /// If the child prints something that is not text.
    pub fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let len = self.output.read_line(&mut line).expect("the child's output is text");
        (len > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads what the child prints up to the line [`READY`]. Skips what a test harness prints
    /// before that.
    ///
    /// # Panics
    ///
    /// If the child ends before it is ready.
    pub fn await_ready(&mut self) {
        self.await_line(READY);
    }

    /// Reads what the child prints up to a line that ends with `end`.
    ///
    /// # Panics
    ///
    /// If the child ends before it prints such a line.
    pub fn await_line(&mut self, end: &str) {
        while !self.await_line_with(end).ends_with(end) {}
    }

    /// Reads what the child prints up to a line that contains `part`, and returns that line.
    ///
    /// # Panics
    ///
    /// If the child ends before it prints such a line.
    pub fn await_line_with(&mut self, part: &str) -> String {
        loop {
            match self.next_line() {
                Some(line) if line.contains(part) => return line,
                Some(_) => {}
                None => panic!("the child ended before it printed {part:?}"),
            }
        }
    }

    /// The child's input and output, for requests that are not lines.
    ///
    /// # Panics
    ///
    /// If the input is closed.
    pub fn pipes(&mut self) -> (&mut ChildStdin, &mut BufReader<ChildStdout>) {
        (self.input.as_mut().expect("the child's input is open"), &mut self.output)
    }

    /// Closes the child's standard input, which is the order to end.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// The child's exit status, if it has ended.
    ///
    /// # Panics
    ///
    /// If the system refuses to report it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("a child can be waited for")
    }

    /// Waits for the child's end. Does not close its input.
    ///
    /// # Panics
    ///
    /// If the system refuses to report it.
    pub fn wait(&mut self) -> ExitStatus {
        // The input was taken out of `process`, so this does not close it.
        self.process.wait().expect("a child can be waited for")
    }

    /// Waits for the child's end until `deadline`; `None` if the child is still running then.
    ///
    /// # Panics
    ///
    /// If the system refuses to report it.
    pub fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.ended() {
                None if Instant::now() < deadline => thread::sleep(INTERVAL),
                status => return status,
            }
        }
    }

    /// Waits for the child's end, and returns the number of the signal that killed it.
    ///
    /// # Panics
    ///
    /// If the system refuses to report it.
    pub fn death(mut self) -> Option<i32> {
        self.wait().signal()
    }

    /// Everything that the child prints from now to its end.
    pub fn rest_of_output(&mut self) -> String {
        let mut rest = String::new();
        // After a read error, the bytes read before it are kept.
        let _ = self.output.read_to_string(&mut rest);
        rest
    }

    /// Kills the child with SIGKILL, and waits for its end.
    pub fn kill(mut self) {
        self.kill_and_reap();
    }

    /// Closes the child's input, and waits for its end, which must be a success.
    ///
    /// # Panics
    ///
    /// If the child fails.
    pub fn finish(mut self) {
        self.close_input();
        let status = self.wait();
        assert!(status.success(), "the child process ended with {status}");
    }

    fn kill_and_reap(&mut self) {
        // Both fail only if the child has ended and has been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        let deadline = Instant::now() + self.grace;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(INTERVAL);
        }
        self.kill_and_reap();
    }
}

/// In a child: reports to the parent that the child is at work.
pub fn ready() {
    say(READY);
}

/// In a child: prints a line for the parent. Does nothing if the parent has ended.
pub fn say(line: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// In a child: the orders, line by line, until the parent closes the input or ends.
pub fn orders() -> impl Iterator<Item = String> {
    std::iter::from_fn(next_order)
}

/// In a child: the next order; `None` after the parent has closed the input or has ended.
pub fn next_order() -> Option<String> {
    let mut line = String::new();
    let len = io::stdin().lock().read_line(&mut line).unwrap_or(0);
    (len > 0).then(|| line.trim_end().to_owned())
}

/// In a child: waits until the parent closes the input or ends.
pub fn wait_for_end() {
    // An error of reading is an end, too.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

/// In a child that has work to do: reads the input in a thread.
#[derive(Debug)]
pub struct Input {
    spoken: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Input {
    /// Begins to read. Nothing else may read the standard input afterwards.
    pub fn listen() -> Input {
        let spoken = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&spoken);
        let thread = thread::spawn(move || {
            let _ = next_order();
            // Relaxed: the flag publishes no other data.
            flag.store(true, Ordering::Relaxed);
            wait_for_end();
        });
        Input { spoken, thread }
    }

    /// Whether the parent has sent an order, closed the input, or ended.
    pub fn has_spoken(&self) -> bool {
        // Relaxed: the flag publishes no other data.
        self.spoken.load(Ordering::Relaxed)
    }

    /// Whether the parent has closed the input or has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the parent closes the input or ends.
    pub fn wait_for_end(self) {
        // The thread has nothing that panics.
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start(command)
    }

    #[test]
    fn a_child_says_that_it_is_ready_answers_and_ends_with_its_input() {
        let mut child = shell("echo running 1 test; echo ready; while read line; do echo \"$line!\"; done");
        child.await_ready();
        assert_eq!(child.ask("one"), "one!");
        assert_eq!(child.ask("two"), "two!");
        child.finish();
    }

    #[test]
    fn a_child_is_killed_and_reaped_when_it_is_dropped() {
        let child = shell("exec sleep 1000");
        let pid = Pid::from_child(&child.process);
        drop(child);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn a_child_with_grace_ends_by_itself_when_it_is_dropped() {
        let file = std::env::temp_dir().join(format!("testkit-grace-{}", std::process::id()));
        let child = shell(&format!("echo ready; read line; echo done > '{}'", file.display()));
        let mut child = child.with_grace(Duration::from_secs(60));
        child.await_ready();
        drop(child);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "done\n");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_deadline_passes_while_a_child_runs_and_its_death_has_a_signal() {
        let mut child = shell("exec sleep 1000");
        assert_eq!(child.wait_until(Instant::now()), None);
        child.signal(Signal::TERM);
        assert_eq!(child.death(), Some(Signal::TERM.as_raw()));
    }
}
