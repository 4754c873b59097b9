//! The worker processes, seen from the main process.

use std::{
    env, io, mem,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tearless::Namespace;

use crate::{
    options::WorkerOptions,
    state::{Purse, kind::Choice},
};

/// How long the workers may take to end by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// The running workers. Dropping it ends them, also in a panic, by force if need be, and removes what they
/// left.
pub(crate) struct Fleet {
    pub(crate) workers: Vec<Worker>,
    namespace: Namespace,
}

/// One running worker.
pub(crate) struct Worker {
    pub(crate) options: WorkerOptions,
    process: Child,
}

/// A worker that did not end as it should.
pub(crate) struct Casualty {
    pub(crate) channel: String,
    pub(crate) how: String,
}

impl Fleet {
    /// Starts `count` workers that publish in `namespace`.
    pub(crate) fn start(namespace: &Namespace, count: usize, codec: Choice) -> io::Result<Self> {
        let mut fleet = Self { workers: Vec::with_capacity(count), namespace: namespace.clone() };
        for index in 0..count {
            let options = WorkerOptions { namespace: namespace.name().to_owned(), index, ring: count, codec };
            fleet.workers.push(Worker::start(options)?);
        }
        Ok(fleet)
    }

    /// Kills a worker with SIGKILL, as an accident would.
    pub(crate) fn kill(&mut self, index: usize) -> io::Result<()> {
        let process = &mut self.workers[index].process;
        process.kill()?;
        process.wait().map(drop)
    }

    /// Stops a worker, as a debugger would, or lets it go on.
    pub(crate) fn signal(&self, index: usize, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.workers[index].process), signal)?)
    }

    /// Starts a worker again that was killed.
    pub(crate) fn restart(&mut self, index: usize) -> io::Result<()> {
        let options = self.workers[index].options.clone();
        self.workers[index] = Worker::start(options)?;
        Ok(())
    }

    /// Asks the workers to end and waits until they did. Tells of those that ended before they were asked,
    /// failed, or had to be killed.
    pub(crate) fn stop(mut self) -> Vec<Casualty> {
        self.end()
    }

    fn end(&mut self) -> Vec<Casualty> {
        let mut workers = mem::take(&mut self.workers);
        let before: Vec<_> = workers.iter_mut().map(Worker::ended).collect();
        for worker in &mut workers {
            drop(worker.process.stdin.take());
        }
        let deadline = Instant::now() + PATIENCE;
        let mut casualties = Vec::new();
        for (mut worker, before) in workers.into_iter().zip(before) {
            if let Some(how) = worker.end_by(deadline, before) {
                let left = self.remove_leftovers(&worker);
                casualties.push(Casualty { channel: worker.options.channel(), how: how + left.as_str() });
            }
        }
        casualties
    }

    /// A worker that was killed could not close its channels. Its last states stay readable until somebody removes them,
    /// which is for us to do.
    fn remove_leftovers(&self, worker: &Worker) -> String {
        let channels = [worker.options.channel(), Purse::channel(worker.options.index)];
        channels
            .map(|channel| match self.namespace.remove_channel(&channel) {
                Ok(true) => format!("; {channel} is removed"),
                Ok(false) => String::new(),
                Err(error) => format!("; {channel} can't be removed: {error}"),
            })
            .concat()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Where this is not the second time, something else went wrong, and that is what will be told.
        let _ = self.end();
    }
}

impl Worker {
    fn start(options: WorkerOptions) -> io::Result<Worker> {
        let process = Command::new(env::current_exe()?)
            .args(options.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C is for the main process. The workers see that it is gone, and close their channels.
            .process_group(0)
            .spawn()?;
        Ok(Worker { options, process })
    }

    /// How the worker ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Waits for the end of a worker that was asked to end, and kills it at the deadline. `before` is how it
    /// had ended before it was asked. Tells what is wrong with its end, if anything.
    fn end_by(&mut self, deadline: Instant, before: Option<ExitStatus>) -> Option<String> {
        match (before, self.wait_until(deadline)) {
            (Some(status), _) => Some(format!("ended before its time ({status})")),
            (None, Ok(Some(status))) if status.success() => None,
            (None, Ok(Some(status))) => Some(format!("failed at the end ({status})")),
            (None, Ok(None)) => Some(format!("did not end within {PATIENCE:?} and was killed")),
            (None, Err(error)) => Some(format!("could not be waited for: {error}")),
        }
    }

    /// `None` if it had to be killed.
    fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                self.process.kill()?;
                self.process.wait()?;
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
