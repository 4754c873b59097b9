//! The worker processes, as the main process manages them.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tearless::{Namespace, cleanup::Retention, hub::Hub};

use crate::{options::WorkerOptions, patience::within, state::kind::Choice};

/// How long the workers may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running workers. Dropping it, also in a panic, ends them, by force if need be, and removes
/// what they left.
pub(crate) struct Fleet {
    pub(crate) workers: Vec<Worker>,
    pub(crate) hub: Hub,
    namespace: Namespace,
}

/// One running worker.
pub(crate) struct Worker {
    pub(crate) options: WorkerOptions,
    process: Child,
}

impl Fleet {
    /// Starts `count` workers that publish in `namespace`.
    pub(crate) fn start(namespace: &Namespace, count: usize, codec: Choice) -> io::Result<Self> {
        let mut fleet = Self { workers: Vec::new(), hub: namespace.hub(), namespace: namespace.clone() };
        for index in 0..count {
            let options = WorkerOptions { namespace: namespace.name().to_owned(), index, ring: count, codec };
            fleet.workers.push(Worker::start(options)?);
        }
        Ok(fleet)
    }

    /// Kills a worker with SIGKILL, as an accident would.
    pub(crate) fn kill(&mut self, index: usize) -> io::Result<()> {
        self.workers[index].kill()
    }

    /// Stops a worker as a debugger would, or resumes it.
    pub(crate) fn signal(&self, index: usize, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.workers[index].process), signal)?)
    }

    /// Starts a killed worker again.
    pub(crate) fn restart(&mut self, index: usize) -> io::Result<()> {
        let options = self.workers[index].options.clone();
        self.workers[index] = Worker::start(options)?;
        Ok(())
    }

    /// Asks the workers to end and waits for them. Reports workers that ended early, failed, or had
    /// to be killed.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        let mut casualties = Vec::new();
        for mut worker in self.workers.extract_if(.., |worker| worker.ended().is_some()) {
            let channel = worker.options.channel();
            casualties.extend(worker.ended().map(|how| format!("{channel} ended before its time ({how})")));
        }
        for worker in &mut self.workers {
            drop(worker.process.stdin.take());
        }
        let deadline = Instant::now() + PATIENCE;
        for mut worker in self.workers.drain(..) {
            casualties.extend(worker.end_by(deadline, &self.hub).err());
        }
        if !casualties.is_empty() {
            // A killed worker could not close its channels: its last states stay until they are
            // removed.
            match self.namespace.clean(Retention::Nothing) {
                Ok(cleaned) => eprint!("{cleaned}"),
                Err(error) => eprintln!("what they left can't be removed: {error}"),
            }
        }
        casualties
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end. Otherwise another error is on its way, and
        // matters more.
        let _ = self.end();
    }
}

impl Worker {
    fn start(options: WorkerOptions) -> io::Result<Worker> {
        let process = Command::new(env::current_exe()?)
            .args(options.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C is for the main process. When it ends, the workers notice and close their
            // channels.
            .process_group(0)
            .spawn()?;
        Ok(Worker { options, process })
    }

    /// How the worker ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }

    /// Waits for a worker that was asked to end, and kills it at the deadline. The error says what
    /// is wrong with its end.
    fn end_by(&mut self, deadline: Instant, hub: &Hub) -> Result<(), String> {
        let channel = self.options.channel();
        match within(deadline - Instant::now(), hub.watch(&channel), || self.process.try_wait()) {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(format!("{channel} failed at the end ({status})")),
            Ok(None) => {
                let killed = self.kill().map_or_else(|error| error.to_string(), |()| "killed".to_owned());
                Err(format!("{channel} did not end within {PATIENCE:?}: {killed}"))
            }
            Err(error) => Err(format!("{channel} could not be waited for: {error}")),
        }
    }
}
